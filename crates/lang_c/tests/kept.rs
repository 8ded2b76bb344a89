//! Findings with results that an earlier check kept are those of a check without, whatever was edited since.

use heapwise_check::analysis::Options;
use heapwise_check::analysis::kept::Kept;
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_lang_c::{Files, Unit, lower};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

struct Sources(BTreeMap<String, String>);

impl Files for Sources {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.0.get(path).map(|it| it.as_bytes().into())
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

const FUNCTIONS: usize = 18;
const FILES: usize = 3;

/// What a function's statements are made from.
#[derive(Clone)]
struct Function {
    seed: u64,
    is_static: bool,
    /// Lines of comment before it.
    moved: usize,
}

fn statement(random: &mut Random, at: usize) -> String {
    let (k, size) = (random.below(12), random.below(8) + 1);
    // Mostly of those before it in the same file, now and then of any that others can name.
    let near = (at >= FILES).then(|| at - FILES * (1 + random.below(at / FILES)));
    let other = match random.below(3) {
        0 => at,
        _ => near.unwrap_or(at),
    };
    match random.below(16) {
        0 => format!("{{ char *a = malloc({size}); if (a) {{ a[{k}] = 1; free(a); }} }}"),
        1 | 2 => format!("p = f{other}(p, n + {k});"),
        3 => format!("f{other}(0, {k});"),
        4 => format!("if (n > {k}) {{ free(p); return 0; }}"),
        5 => format!("{{ static int hits; hits++; if (hits == {k}) return p; }}"),
        6 => format!("level = {k};"),
        7 => format!("if (level == {k}) {{ p = malloc({size}); }}"),
        8 => format!("p = table[{}](p, n);", k % 3),
        9 => format!("{{ FILE *h = fopen(\"name{k}\", \"r\"); if (n == {k}) return p; if (h) fclose(h); }}"),
        10 => format!("{{ int x; if (n > {k}) x = 1; if (x) n++; }}"),
        11 => format!("{{ char b[{size}]; strcpy(b, \"text{k}\"); n += b[0]; }}"),
        12 => "free(p);".to_owned(),
        13 => format!("{{ struct pair q; q.left = p; q.count = {k}; p = swap(&q, n); }}"),
        14 => format!("if (n < fixed) p = strdup(\"word{k}\");"),
        _ => format!("for (int i = 0; i < {k}; i++) p = (char *)p + {size};"),
    }
}

fn sources(functions: &[Function], fixed: usize, order: bool) -> Sources {
    let mut files = BTreeMap::new();
    let header = "#include <stdlib.h>\n#include <stdio.h>\n#include <string.h>\n\
        struct pair { void *left; int count; };\nextern int level;\nextern const int fixed;\n\
        typedef void *(*step)(void *, int);\nvoid *swap(struct pair *q, int n);\n";
    files.insert("all.h".to_owned(), header.to_owned());
    for file in 0..FILES {
        let mut text = "#include \"all.h\"\n".to_owned();
        let mine: Vec<usize> = (0..functions.len()).filter(|it| it % FILES == file).collect();
        for at in &mine {
            let storage = if functions[*at].is_static { "static " } else { "" };
            writeln!(text, "{storage}void *f{at}(void *p, int n);").unwrap();
        }
        let pick = |it: usize| mine[it % mine.len()];
        let (a, b, c) = (pick(0), pick(1), pick(2));
        writeln!(text, "static const step table[] = {{ f{a}, f{b}, f{c} }};").unwrap();
        if file == 0 {
            writeln!(text, "int level = 1;\nconst int fixed = {fixed};").unwrap();
            text.push_str("void *swap(struct pair *q, int n) { return n > q->count ? q->left : 0; }\n");
        }
        for at in mine {
            let it = &functions[at];
            let mut random = Random(it.seed);
            let storage = if it.is_static { "static " } else { "" };
            (0..it.moved).for_each(|line| writeln!(text, "// moved by {line}").unwrap());
            writeln!(text, "{storage}void *f{at}(void *p, int n) {{").unwrap();
            for _ in 0..1 + random.below(4) {
                writeln!(text, "    {}", statement(&mut random, at)).unwrap();
            }
            text.push_str("    return p;\n}\n");
        }
        if file == FILES - 1 {
            let last = functions.len() - 1;
            writeln!(text, "int main(int argc, char **argv) {{ f{last}(argv[1], argc); return 0; }}")
                .unwrap();
        }
        // Another order of files gives everything another number.
        let prefix = if order { FILES - file } else { file };
        files.insert(format!("{prefix}.c"), text);
    }
    Sources(files)
}

fn link(sources: &Sources) -> Program {
    let units = sources.0.keys().filter(|it| it.ends_with(".c"));
    Program::link(units.map(|it| lower(&Unit::new(it), sources)).collect())
}

/// Checks both ways, and compares; gives what was kept, and how much was found.
fn compare(sources: &Sources, kept: &Kept) -> (Kept, usize) {
    let program = link(sources);
    let (models, options) = (Models::bundled(), Options::default());
    let plain = heapwise_check::check(&program, &models, &options);
    let (again, kept) = heapwise_check::check_again(&program, &models, &options, kept);
    assert_eq!(format!("{:#?}", again.found), format!("{:#?}", plain.found), "{:#?}", sources.0);
    assert_eq!(again.incomplete, plain.incomplete);
    (kept, plain.found.len())
}

#[test]
fn what_was_kept_changes_no_finding() {
    let mut random = Random(0x5eed);
    let mut found = 0;
    for _ in 0..8 {
        let mut functions: Vec<Function> = (0..FUNCTIONS)
            .map(|_| Function {
                seed: random.below(1 << 30) as u64 + 1,
                is_static: random.below(3) == 0,
                moved: 0,
            })
            .collect();
        functions[FUNCTIONS - 1].is_static = false;
        let (mut fixed, mut order) = (3, false);
        let (mut kept, count) = compare(&sources(&functions, fixed, order), &Kept::default());
        found += count;
        for _ in 0..25 {
            let at = random.below(FUNCTIONS);
            match random.below(8) {
                0 => functions[at].moved += 1 + random.below(3),
                1 => fixed = random.below(9),
                2 => order = !order,
                3 if at + 1 < FUNCTIONS => functions[at].is_static ^= true,
                _ => functions[at].seed = random.below(1 << 30) as u64 + 1,
            }
            let bytes = kept.to_bytes();
            let read = Kept::from_bytes(bytes.clone());
            assert_eq!(read.to_bytes(), bytes);
            let count;
            (kept, count) = compare(&sources(&functions, fixed, order), &read);
            found += count;
        }
    }
    assert!(found > 1000, "{found} findings in all");
}

#[test]
fn code_that_only_moves_is_not_analyzed_again() {
    let mut random = Random(77);
    let function =
        |random: &mut Random| Function { seed: random.below(1 << 30) as u64 + 1, is_static: false, moved: 0 };
    let mut functions: Vec<Function> = (0..FUNCTIONS).map(|_| function(&mut random)).collect();
    let (kept, _) = compare(&sources(&functions, 3, false), &Kept::default());
    assert!(kept.is_changed() && kept.len() > FUNCTIONS);
    functions.iter_mut().for_each(|it| it.moved = 2);
    let (again, _) = compare(&sources(&functions, 3, false), &kept_of(&kept));
    assert!(!again.is_changed());
    assert_eq!(again.len(), kept.len());
}

/// A chain of calls, two of them recursive, down to a leaf with these statements.
fn chain(leaf: &str) -> Sources {
    let mut text = "#include <stdlib.h>\n".to_owned();
    writeln!(text, "void *f0(int n) {{ {leaf} return malloc(n); }}").unwrap();
    for at in 1..20 {
        let again = if at % 5 == 0 { format!("if (n > 9) return f{at}(n - 1);") } else { String::new() };
        writeln!(text, "void *f{at}(int n) {{ {again} if (n == {at}) return 0; return f{}(n); }}", at - 1)
            .unwrap();
    }
    text.push_str("int main(int argc, char **argv) { char *p = f19(argc); p[0] = 1; return 0; }\n");
    Sources([("chain.c".to_owned(), text)].into())
}

#[test]
fn an_edit_is_followed_as_far_as_summaries_change() {
    let (kept, count) = compare(&chain(""), &Kept::default());
    assert!(count > 0);
    let entries = kept.len();
    let (again, _) = compare(&chain("int unseen = n + 1; unseen++;"), &kept_of(&kept));
    assert_eq!((again.added(), again.len()), (1, entries), "callers see no difference");
    let (again, _) = compare(&chain("if (n == 7) exit(1);"), &kept_of(&kept));
    assert!(again.added() > 5, "{} of {entries}: callers see it", again.added());
}

fn kept_of(kept: &Kept) -> Kept {
    Kept::from_bytes(kept.to_bytes())
}

#[test]
fn damage_is_no_entry() {
    let functions = vec![Function { seed: 5, is_static: false, moved: 0 }; FUNCTIONS];
    let all = sources(&functions, 3, false);
    let bytes = compare(&all, &Kept::default()).0.to_bytes();
    let mut random = Random(9);
    for _ in 0..60 {
        let mut damaged = bytes.clone();
        let at = random.below(damaged.len());
        damaged[at] ^= 1 << random.below(8);
        damaged.truncate(bytes.len() - random.below(3) * random.below(bytes.len() / 2));
        compare(&all, &Kept::from_bytes(damaged));
    }
}
