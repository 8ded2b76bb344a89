//! Random C and C++ programs that leak in every way we know.
//!
//! ```text
//!   make0() .. makeN()   one function per block, so that every block has a stack of its own
//!   build                b[i] = makei();   (some in a thread that is joined)
//!   connect              pointers from block to block, to starts, interiors and one past the end
//!   hold                 roots: globals, thread-locals, smart pointers, a mapping, parked threads
//!   free_some            last, so that no address is used twice
//!   wipe, scrub          b[] and dead stack are zeroed
//!   main                 keeps locals, ends by return, exit or _exit
//! ```
//!
//! One statement per line: a program is shrunk by hand by deleting lines. What would make the answer depend on
//! dead memory is avoided: blocks are fully written, nothing is freed before the last block is allocated (but in
//! chains of realloc), and the frame of `main` holds no pointer when `main` returns.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::rng::Rng;

/// A program and how it is compiled.
pub struct Program {
    pub source: String,
    pub cpp: bool,
    pub flags: Vec<&'static str>,
    /// How many sets of blocks there are at most whose members all lead to each other.
    pub rings: u64,
}

/// A block, as the rest of the program sees it.
struct Block {
    /// The statements of its function, which leave its address in `p`.
    make: Vec<String>,
    /// Name of the function that writes pointer `slot`; slots are `first..first + slots`.
    put: &'static str,
    first: u64,
    slots: u64,
    /// Bytes from `b[i]` to its end.
    size: u64,
    free: String,
}

struct Generator {
    rng: Rng,
    cpp: bool,
    types: String,
    globals: String,
    blocks: Vec<Block>,
    holds: Vec<String>,
    parked: Vec<(usize, u64, bool)>,
    extra: String,
    /// Where slots point at last: `(block, slot)` to block.
    links: BTreeMap<(usize, u64), usize>,
    /// Rings of the sites that are no blocks.
    rings: u64,
}

/// The program of a seed.
pub fn program(seed: u64) -> Program {
    let mut rng = Rng::new(seed);
    let cpp = rng.chance(50);
    let mut flags = vec!["-g", "-pthread"];
    flags.extend(*rng.pick(&[&["-O0"][..], &["-O1", "-fno-inline"], &["-O2", "-fno-inline"], &["-O2"]]));
    if rng.chance(30) {
        flags.push("-no-pie");
    }
    if rng.chance(30) {
        flags.push("-fno-omit-frame-pointer");
    }
    let mut generator = Generator {
        rng,
        cpp,
        types: String::new(),
        globals: String::new(),
        blocks: Vec::new(),
        holds: Vec::new(),
        parked: Vec::new(),
        extra: String::new(),
        links: BTreeMap::new(),
        rings: 0,
    };
    let source = generator.write(seed, &flags);
    Program { source, cpp, flags, rings: generator.rings }
}

impl Generator {
    fn write(&mut self, seed: u64, flags: &[&str]) -> String {
        let count = self.rng.range(3, 40) as usize;
        for at in 0..count {
            let block = if self.cpp && self.rng.chance(50) { self.cpp_block(at) } else { self.c_block() };
            self.blocks.push(block);
        }
        let edges = self.edges();
        self.roots();
        let sites = self.sites();
        let frees: Vec<usize> = {
            let percent = *self.rng.pick(&[0, 10, 40]);
            (0..count).filter(|_| self.rng.chance(percent)).collect()
        };
        self.rings += self.rings_of_blocks(&frees);
        let in_thread: Vec<bool> = {
            let percent = *self.rng.pick(&[0, 0, 30]);
            (0..count).map(|_| self.rng.chance(percent)).collect()
        };
        let end = *self.rng.pick(&["return", "return", "exit", "exit", "_exit"]);
        let locals: Vec<(usize, u64)> =
            if end == "return" { vec![] } else { (0..self.rng.below(3)).map(|_| self.target()).collect() };
        let prints = self.rng.chance(60);

        let mut text =
            format!("/* seed {seed}; {} {} */\n", if self.cpp { "g++" } else { "gcc" }, flags.join(" "));
        text.push_str("#define _GNU_SOURCE 1\n#include <malloc.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/mman.h>\n#include <unistd.h>\n");
        if self.cpp {
            text.push_str(
                "#include <list>\n#include <map>\n#include <memory>\n#include <string>\n#include <vector>\n",
            );
        }
        text.push_str("\n#define NOINLINE __attribute__((noinline, noclone))\n");
        let _ = writeln!(text, "static void *volatile b[{count}];\nstatic pthread_barrier_t ready;");
        text.push_str(&self.types);
        text.push_str(&self.globals);
        text.push('\n');
        for (at, block) in self.blocks.iter().enumerate() {
            let _ = writeln!(text, "static NOINLINE void *make{at}(void) {{");
            for line in &block.make {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("    return p;\n}\n");
        }
        text.push_str(&sites);
        text.push_str(SUPPORT);
        if self.cpp {
            text.push_str(SUPPORT_CPP);
        }
        let function = |text: &mut String, head: &str, lines: &mut dyn Iterator<Item = String>| {
            let _ = writeln!(text, "static NOINLINE {head} {{");
            for line in lines {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("}\n");
        };
        let make = |at: usize| format!("b[{at}] = make{at}();");
        function(&mut text, "void build(void)", &mut (0..count).filter(|it| !in_thread[*it]).map(make));
        function(
            &mut text,
            "void build_in_thread(void)",
            &mut (0..count).filter(|it| in_thread[*it]).map(make),
        );
        function(&mut text, "void connect_all(void)", &mut edges.into_iter());
        function(&mut text, "void hold(void)", &mut std::mem::take(&mut self.holds).into_iter());
        let free_line = |at: &usize| self.blocks[*at].free.replace("IT", &format!("b[{at}]"));
        function(&mut text, "void free_some(void)", &mut frees.iter().map(free_line));
        function(
            &mut text,
            "void wipe(void)",
            &mut [format!("for (int i = 0; i < {count}; i++) b[i] = NULL;")].into_iter(),
        );
        text.push_str(
            "static void *worker(void *it) {\n    build_in_thread();\n    scrub();\n    return it;\n}\n",
        );
        for (at, (block, offset, condition)) in self.parked.iter().enumerate() {
            let _ = writeln!(
                text,
                "static void *parked{at}(void *it) {{\n    void *volatile kept = b[{block}] ? (char *)b[{block}] + {offset} : NULL;\n    scrub();\n    pthread_barrier_wait(&ready);"
            );
            text.push_str(if *condition {
                "    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;\n    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;\n    pthread_mutex_lock(&lock);\n    for (;;) pthread_cond_wait(&never, &lock);\n"
            } else {
                "    for (;;) pause();\n"
            });
            text.push_str("    return kept ? it : NULL;\n}\n");
        }
        text.push_str("static NOINLINE void start(void) {\n");
        if in_thread.contains(&true) {
            text.push_str("    pthread_t id;\n    if (pthread_create(&id, NULL, worker, NULL)) abort();\n    pthread_join(id, NULL);\n");
        }
        text.push_str("}\nstatic NOINLINE void park(void) {\n");
        if !self.parked.is_empty() {
            let _ = writeln!(
                text,
                "    pthread_t id;\n    pthread_barrier_init(&ready, NULL, {});",
                self.parked.len() + 1
            );
            for at in 0..self.parked.len() {
                let _ = writeln!(text, "    if (pthread_create(&id, NULL, parked{at}, NULL)) abort();");
            }
            text.push_str("    pthread_barrier_wait(&ready);\n");
        }
        text.push_str("}\n\nint main(void) {\n");
        if !locals.is_empty() {
            let _ = writeln!(text, "    void *volatile local[{}];", locals.len());
        }
        if prints {
            text.push_str("    printf(\"begin\\n\");\n");
        }
        text.push_str("    build();\n    start();\n    connect_all();\n");
        text.push_str(&self.extra);
        for (at, (block, offset)) in locals.iter().enumerate() {
            let _ = writeln!(text, "    local[{at}] = (char *)b[{block}] + {offset};");
        }
        text.push_str("    hold();\n    park();\n    free_some();\n    wipe();\n    scrub();\n");
        if prints {
            text.push_str("    printf(\"end\\n\");\n    fflush(stdout);\n");
        }
        let _ = match (end, locals.is_empty()) {
            ("return", _) => writeln!(text, "    return 0;"),
            (_, true) => writeln!(text, "    {end}(0);"),
            // The status keeps the locals alive up to the call.
            (_, false) => writeln!(text, "    {end}(local[0] == (void *)1);"),
        };
        text.push_str("}\n");
        text
    }

    fn size(&mut self) -> u64 {
        match self.rng.below(100) {
            0..5 => 0,
            5..50 => self.rng.range(1, 64),
            50..80 => self.rng.range(65, 1024),
            80..97 => self.rng.range(1025, 100_000),
            _ => self.rng.range(132_000, 300_000),
        }
    }

    /// A byte that eight times over is no address.
    fn fill(&mut self) -> u64 {
        if self.rng.chance(50) { 0 } else { self.rng.range(0x21, 0x7e) }
    }

    fn c_block(&mut self) -> Block {
        let mut size = self.size();
        let fill = self.fill();
        let align = 1u64 << self.rng.range(4, 12);
        let set = format!("memset(p, {fill}, {size});");
        let make = match self.rng.below(9) {
            0..3 => vec![format!("void *p = malloc({size});"), set],
            3 => vec![format!("void *p = calloc({}, {size});", 1)],
            4 => {
                size = size.div_ceil(align) * align;
                vec![
                    format!("void *p = aligned_alloc({align}, {size});"),
                    format!("memset(p, {fill}, {size});"),
                ]
            }
            5 => vec![
                "void *p = NULL;".into(),
                format!("if (posix_memalign(&p, {align}, {size})) abort();"),
                set,
            ],
            6 => vec![format!("void *p = memalign({align}, {size});"), set],
            7 => {
                size = size.max(1);
                let between = self.size().max(1);
                let mut lines =
                    vec![format!("void *p = realloc(NULL, {between});"), format!("memset(p, 0, {between});")];
                if self.rng.chance(50) {
                    let more = self.size().max(1);
                    lines.push(format!("p = realloc(p, {more});"));
                    lines.push(format!("memset(p, 0, {more});"));
                }
                lines.push(format!("p = realloc(p, {size});"));
                lines.push(format!("memset(p, {fill}, {size});"));
                lines
            }
            _ => {
                let length = self.rng.range(0, 200);
                size = length + 1;
                vec![format!("void *p = strdup(\"{}\");", "x".repeat(length as usize))]
            }
        };
        Block { make, put: "put", first: 0, slots: size / 8, size, free: "free(IT);".into() }
    }

    fn cpp_block(&mut self, at: usize) -> Block {
        let fill = self.fill();
        match self.rng.below(9) {
            0 => {
                let slots = self.rng.range(1, 12);
                let _ = writeln!(
                    self.types,
                    "struct Plain{at} {{ void *p[{slots}]; char c[{}]; }};",
                    self.rng.range(1, 90)
                );
                Block {
                    make: vec![format!("void *p = new Plain{at}();")],
                    put: "put",
                    first: 0,
                    slots,
                    size: slots * 8,
                    free: format!("delete (Plain{at} *)IT;"),
                }
            }
            1 => {
                let size = self.size();
                Block {
                    make: vec![format!("char *p = new char[{size}];"), format!("memset(p, {fill}, {size});")],
                    put: "put",
                    first: 0,
                    slots: size / 8,
                    size,
                    free: "delete[] (char *)IT;".into(),
                }
            }
            2 => {
                // The array's cookie makes the program's own pointer an interior one.
                let (slots, count) = (self.rng.range(1, 5), self.rng.range(1, 20));
                let _ = writeln!(
                    self.types,
                    "struct Item{at} {{ void *p[{slots}] = {{}}; ~Item{at}() {{ p[0] = nullptr; }} }};"
                );
                Block {
                    make: vec![format!("void *p = new Item{at}[{count}];")],
                    put: "put",
                    first: 0,
                    slots: slots * count,
                    size: slots * count * 8,
                    free: format!("delete[] (Item{at} *)IT;"),
                }
            }
            3 => {
                let _ = writeln!(
                    self.types,
                    "struct First{at} {{ virtual ~First{at}() {{}} void *p = nullptr; }};\nstruct Second{at} {{ virtual ~Second{at}() {{}} void *q[3] = {{}}; }};\nstruct Both{at} : First{at}, Second{at} {{ void *r[2] = {{}}; }};"
                );
                // The pointer is to the second base: memcheck's heuristic for multiple inheritance.
                Block {
                    make: vec![format!("Second{at} *p = new Both{at}();")],
                    put: "put",
                    first: 1,
                    slots: 3,
                    size: 32,
                    free: format!("delete (Second{at} *)IT;"),
                }
            }
            4 => Block {
                make: vec![format!("void *p = new std::string({}, 'y');", self.rng.range(20, 3000))],
                put: "put",
                first: 0,
                slots: 0,
                size: 32,
                free: "delete (std::string *)IT;".into(),
            },
            5 => {
                let slots = self.rng.range(1, 300);
                Block {
                    make: vec![format!("void *p = new std::vector<void *>({slots}, nullptr);")],
                    put: "put_vector",
                    first: 0,
                    slots,
                    size: 24,
                    free: "delete (std::vector<void *> *)IT;".into(),
                }
            }
            6 => {
                let slots = self.rng.range(1, 20);
                Block {
                    make: vec![
                        "auto *p = new std::map<long, void *>();".into(),
                        format!("for (long k = 0; k < {slots}; k++) (*p)[k] = nullptr;"),
                    ],
                    put: "put_map",
                    first: 0,
                    slots,
                    size: 48,
                    free: "delete (std::map<long, void *> *)IT;".into(),
                }
            }
            7 => {
                let slots = self.rng.range(1, 20);
                Block {
                    make: vec![format!("void *p = new std::list<void *>({slots}, nullptr);")],
                    put: "put_list",
                    first: 0,
                    slots,
                    size: 24,
                    free: "delete (std::list<void *> *)IT;".into(),
                }
            }
            _ => {
                let size = self.size();
                Block {
                    make: vec![
                        format!("void *p = ::operator new({size});"),
                        format!("memset(p, {fill}, {size});"),
                    ],
                    put: "put",
                    first: 0,
                    slots: size / 8,
                    size,
                    free: "::operator delete(IT);".into(),
                }
            }
        }
    }

    /// A block and an offset into it: mostly its start, sometimes an interior, rarely one past the end.
    fn target(&mut self) -> (usize, u64) {
        let at = self.rng.below(self.blocks.len() as u64) as usize;
        let size = self.blocks[at].size;
        let offset = match self.rng.below(100) {
            0..70 => 0,
            70..75 => size,
            75..85 => 8.min(size),
            _ => self.rng.below(size + 1),
        };
        (at, offset)
    }

    fn edges(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let wanted = self.blocks.len() as u64 * self.rng.range(0, 25) / 10;
        for _ in 0..wanted {
            let from = self.rng.below(self.blocks.len() as u64) as usize;
            let (to, offset) = if self.rng.chance(5) { (from, 0) } else { self.target() };
            let Block { put, first, slots, .. } = self.blocks[from];
            if slots > 0 {
                let slot = first + self.rng.below(slots);
                lines.push(format!("{put}({from}, {slot}, {to}, {offset});"));
                self.links.insert((from, slot), to);
            }
        }
        // A ring now and then.
        if self.rng.chance(30) {
            let members: Vec<usize> = (0..self.blocks.len())
                .filter(|it| self.blocks[*it].slots > 0)
                .take(self.rng.range(2, 6) as usize)
                .collect();
            for (at, from) in members.iter().enumerate() {
                let Block { put, first, slots, .. } = self.blocks[*from];
                let slot = first + self.rng.below(slots);
                let to = members[(at + 1) % members.len()];
                lines.push(format!("{put}({from}, {slot}, {to}, 0);"));
                self.links.insert((*from, slot), to);
            }
        }
        lines
    }

    /// Rings among the blocks that are not freed; lists and maps of the C++ library are rings by themselves.
    fn rings_of_blocks(&self, freed: &[usize]) -> u64 {
        let count = self.blocks.len();
        let mut leads = vec![vec![false; count]; count];
        for ((from, _), to) in &self.links {
            leads[*from][*to] = !freed.contains(from) && !freed.contains(to);
        }
        for middle in 0..count {
            for from in 0..count {
                for to in 0..count {
                    leads[from][to] |= leads[from][middle] && leads[middle][to];
                }
            }
        }
        let mutual = |one: usize, other: usize| leads[one][other] && leads[other][one];
        let alone = |at: usize| matches!(self.blocks[at].put, "put_list" | "put_map");
        let first = |at: &usize| !(0..*at).any(|other| mutual(*at, other));
        let ring = |at: &usize| alone(*at) || (*at + 1..count).any(|other| mutual(*at, other));
        (0..count).filter(first).filter(ring).count() as u64
    }

    fn roots(&mut self) {
        for at in 0..self.rng.below(self.blocks.len() as u64 / 2 + 2) {
            let (block, offset) = self.target();
            let value = format!("(char *)b[{block}] + {offset}");
            match self.rng.below(if self.cpp { 11 } else { 8 }) {
                0..4 => {
                    let init = *self.rng.pick(&["", " = (void *)1"]);
                    let _ = writeln!(self.globals, "static void *volatile root{at}{init};");
                    self.holds.push(format!("root{at} = {value};"));
                }
                4 => {
                    let _ = writeln!(self.globals, "static __thread void *volatile local{at};");
                    self.holds.push(format!("local{at} = {value};"));
                }
                5 => {
                    self.holds.push("{ void *volatile *page = (void *volatile *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);".into());
                    self.holds.push(format!("page[{}] = {value}; }}", self.rng.below(1024)));
                }
                6 | 7 => {
                    let condition = self.rng.chance(50);
                    self.parked.push((block, offset, condition));
                }
                8 => {
                    let _ = writeln!(
                        self.globals,
                        "struct Holder{at} {{ void *p[2] = {{}}; }};\nstatic std::unique_ptr<Holder{at}> owner{at};"
                    );
                    self.holds.push(format!("owner{at}.reset(new Holder{at}());"));
                    self.holds.push(format!("owner{at}->p[1] = {value};"));
                }
                9 => {
                    let _ = writeln!(self.globals, "static std::shared_ptr<std::vector<void *>> owner{at};");
                    self.holds
                        .push(format!("owner{at} = std::make_shared<std::vector<void *>>(3, nullptr);"));
                    self.holds.push(format!("(*owner{at})[1] = {value};"));
                }
                _ => {
                    let _ = writeln!(self.globals, "static std::map<long, std::string> names{at};");
                    for key in 0..self.rng.range(1, 5) {
                        self.holds.push(format!(
                            "names{at}[{key}] = std::string({}, 'n');",
                            self.rng.range(5, 100)
                        ));
                    }
                }
            }
        }
    }

    /// Sites that allocate many blocks: lists, trees by recursion, a temporary hot site.
    fn sites(&mut self) -> String {
        let mut text = String::new();
        for at in 0..self.rng.below(3) {
            let count = self.rng.range(1, 60);
            let extra = self.rng.range(0, 100);
            let _ = writeln!(
                text,
                "struct link{at} {{ struct link{at} *next, *back; char text[{}]; }};",
                extra + 1
            );
            let _ = writeln!(text, "static struct link{at} *volatile head{at};");
            let _ = writeln!(
                text,
                "static NOINLINE struct link{at} *node{at}(void) {{\n    struct link{at} *it = (struct link{at} *)calloc(1, sizeof *it);\n    return it;\n}}"
            );
            let double = self.rng.chance(50);
            self.rings += u64::from(double);
            let _ = writeln!(
                text,
                "static NOINLINE void list{at}(void) {{\n    for (int i = 0; i < {count}; i++) {{\n        struct link{at} *it = node{at}();\n        it->next = head{at};{}\n        head{at} = it;\n    }}\n}}",
                if double { format!("\n        if (head{at}) head{at}->back = it;") } else { String::new() }
            );
            let _ = writeln!(self.extra, "    list{at}();");
            match self.rng.below(4) {
                0 => {}
                1 => {
                    let _ = writeln!(self.extra, "    head{at} = NULL;");
                }
                2 => {
                    let _ = writeln!(self.extra, "    head{at} = (struct link{at} *)((char *)head{at} + 4);");
                }
                _ => {
                    let _ = writeln!(
                        text,
                        "static NOINLINE void step{at}(void) {{\n    for (int i = 0; i < {} && head{at}; i++) head{at} = head{at}->next;\n}}",
                        self.rng.range(1, 5)
                    );
                    let _ = writeln!(self.extra, "    step{at}();");
                }
            }
        }
        if self.rng.chance(40) {
            let depth = self.rng.range(1, 6);
            text.push_str(
                "struct tree { struct tree *left, *right; long key; };\nstatic struct tree *volatile top;\n",
            );
            text.push_str("static NOINLINE struct tree *grow(int depth) {\n    struct tree *it = (struct tree *)calloc(1, sizeof *it);\n    it->key = depth;\n    if (depth > 0) {\n        it->left = grow(depth - 1);\n        it->right = grow(depth - 1);\n    }\n    return it;\n}\n");
            let _ = writeln!(
                text,
                "static NOINLINE void plant(void) {{\n    top = grow({depth});\n{}}}",
                *self.rng.pick(&[
                    "",
                    "    top = NULL;\n",
                    "    top = top->left;\n",
                    "    top = (struct tree *)((char *)top + 8);\n"
                ])
            );
            self.extra.push_str("    plant();\n");
        }
        if self.rng.chance(20) {
            text.push_str("static NOINLINE void hot(void) {\n    for (int i = 1; i < 500; i++) {\n        char *volatile it = (char *)malloc(i);\n        it[0] = 0;\n        free(it);\n    }\n}\n");
            self.extra.push_str("    hot();\n");
        }
        text
    }
}

const SUPPORT: &str = "
static NOINLINE void put(int i, long slot, int j, long off) {
    ((void *volatile *)b[i])[slot] = (char *)b[j] + off;
}
static NOINLINE void scrub(void) {
    volatile char dead[49152];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}
";

const SUPPORT_CPP: &str = "
static NOINLINE void put_vector(int i, long slot, int j, long off) {
    ((std::vector<void *> *)b[i])->at(slot) = (char *)b[j] + off;
}
static NOINLINE void put_map(int i, long slot, int j, long off) {
    ((std::map<long, void *> *)b[i])->at(slot) = (char *)b[j] + off;
}
static NOINLINE void put_list(int i, long slot, int j, long off) {
    auto it = ((std::list<void *> *)b[i])->begin();
    while (slot-- > 0) ++it;
    *it = (char *)b[j] + off;
}
";

#[test]
fn a_seed_is_a_program() {
    for seed in 0..50 {
        assert_eq!(program(seed).source, program(seed).source);
        assert!(program(seed).source.contains("int main(void)"));
    }
}
