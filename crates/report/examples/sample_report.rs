//! Writes reports for the tests of the HTML page and for looking at it.
//!
//! `sample_report KIND FILE`, KIND being `small`, `large` (a million distinct stacks), `hostile`
//! (names that attack the page) or `empty`.

use heapwise_model::{
    Child, Confidence, Edit, Engine, Excerpt, Finding, Fix, FrameId, Held, HeldStep, Kind, Language,
    LeakTotals, Leaks, Location, Place, Program, Related, Report, ResolvedFrame, RootKind, Rule, Safety,
    Severity, StackCost, StackId, StackShare, Termination, Tick, Timeline, Total, Variable,
};
use std::io::{self, BufWriter, Write};

#[allow(dead_code)] // The size test includes this file for `large`.
fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = match arguments.first().map(String::as_str) {
        Some("small") => small(),
        Some("large") => large(1_030_000),
        Some("hostile") => hostile(),
        Some("empty") => Report { version: "0.1.0".into(), ..Report::default() },
        _ => return Err(io::Error::other("usage: sample_report small|large|hostile|empty FILE")),
    };
    let path = arguments.get(1).ok_or_else(|| io::Error::other("name the file to write"))?;
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    heapwise_report::html::write(&mut out, &report)?;
    out.flush()
}

/// xorshift64*: the same report at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 33) % end
    }

    /// Small numbers often, large ones seldom.
    fn skewed(&mut self, end: u64) -> u64 {
        let limit = 1 + self.below(end);
        self.below(limit)
    }
}

fn frame(function: &str, path: &str, line: u32, module: &str) -> ResolvedFrame {
    ResolvedFrame {
        function: (!function.is_empty()).then(|| function.to_owned()),
        path: (!path.is_empty()).then(|| path.to_owned()),
        line: (line > 0).then_some(line),
        column: None,
        module: module.to_owned(),
        offset: 0x1139 + u64::from(line),
        is_inlined: false,
        is_library: module.contains(".so") || path.starts_with("/usr"),
        language: Some(if function.contains("::") { Language::Cpp } else { Language::C }),
    }
}

/// Adds a stack, outermost frame first.
fn stack(report: &mut Report, frames: &[ResolvedFrame]) -> StackId {
    let mut at = StackId::UNKNOWN;
    for frame in frames {
        let id = match report.frames.iter().position(|it| it.first() == Some(frame)) {
            Some(id) => FrameId(id as u32),
            None => {
                report.frames.push(vec![frame.clone()]);
                FrameId((report.frames.len() - 1) as u32)
            }
        };
        let known = (1..report.stacks.len() as u32).map(StackId);
        at = known
            .clone()
            .find(|it| report.stacks.parent(*it) == at && report.stacks.frame(*it) == id)
            .unwrap_or_else(|| report.stacks.push(at, id).expect("few stacks"));
    }
    at
}

fn leak(place: StackId, bytes: u64, blocks: u64) -> Finding {
    Finding {
        rule: Rule::MemoryLeak,
        kind: Some(Kind::Definite),
        severity: Severity::Error,
        confidence: Confidence::Certain,
        engine: Engine::Run,
        language: None,
        message: format!("{} bytes in {} blocks are never freed", grouped(bytes), grouped(blocks)),
        place: Place::Stack(place),
        related: vec![],
        help: None,
        bytes: Some(bytes),
        blocks: Some(blocks),
        stacks: vec![],
        held: None,
        retainers: None,
        fix: None,
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string().into_bytes();
    let groups: Vec<&str> =
        digits.rchunks(3).rev().map(|it| std::str::from_utf8(it).expect("digits are ASCII")).collect();
    groups.join(",")
}

/// A day in the life of a small server.
pub fn small() -> Report {
    let mut report = Report { version: "0.1.0".into(), frames: vec![vec![]], ..Report::default() };
    let start = [
        frame("_start", "", 0, "app"),
        frame("__libc_start_main", "", 0, "libc.so.6"),
        frame("main", "/home/me/app/src/main.c", 48, "app"),
    ];
    let serve = frame("serve", "/home/me/app/src/server.c", 120, "app");
    let make = frame("make", "/home/me/app/src/app.c", 12, "app");
    let parse = frame("json::Parser::parse_object(std::string_view)", "/home/me/app/src/json.cc", 77, "app");
    let grow = frame(
        "std::vector<json::Value>::_M_realloc_insert",
        "/usr/include/c++/12/bits/vector.tcc",
        440,
        "app",
    );
    let new = frame("operator new(unsigned long)", "", 0, "libstdc++.so.6");
    let paths: Vec<(Vec<ResolvedFrame>, [u64; 9])> = vec![
        // allocations, allocated, temporary, peak bytes, blocks, live, blocks, lost, blocks
        (
            vec![serve.clone(), make.clone()],
            [20_000, 880_000, 0, 880_000, 20_000, 880_000, 20_000, 880_000, 20_000],
        ),
        (
            vec![serve.clone(), parse.clone(), grow.clone(), new.clone()],
            [410_000, 94_000_000, 350_000, 210_000, 900, 4_096, 4, 0, 0],
        ),
        (
            vec![
                serve.clone(),
                parse.clone(),
                frame("json::intern(char const*)", "/home/me/app/src/intern.cc", 31, "app"),
                new.clone(),
            ],
            [52_000, 2_496_000, 0, 148_000, 3_100, 148_000, 3_100, 12_480, 260],
        ),
        (
            vec![serve.clone(), parse.clone(), parse.clone(), grow, new.clone()],
            [88_000, 21_000_000, 80_000, 44_000, 120, 0, 0, 0, 0],
        ),
        (
            vec![
                serve.clone(),
                frame("log_line", "/home/me/app/src/log.c", 55, "app"),
                frame("vasprintf", "", 0, "libc.so.6"),
            ],
            [690_000, 55_200_000, 690_000, 80, 1, 0, 0, 0, 0],
        ),
        (
            vec![
                frame("load_config", "/home/me/app/src/config.c", 19, "app"),
                frame("fopen", "", 0, "libc.so.6"),
            ],
            [1, 472, 0, 472, 1, 472, 1, 472, 1],
        ),
        (
            vec![
                frame("cache_init", "/home/me/app/src/cache.c", 8, "app"),
                frame("calloc", "", 0, "libc.so.6"),
            ],
            [1, 131_072, 0, 131_072, 1, 131_072, 1, 0, 0],
        ),
        (vec![frame("", "", 0, "plugin.so")], [12, 49_152, 0, 32_768, 8, 0, 0, 0, 0]),
    ];
    let mut ids = Vec::new();
    for (tail, cost) in paths {
        let all: Vec<ResolvedFrame> = start.iter().chain(&tail).cloned().collect();
        let id = stack(&mut report, &all);
        ids.push(id);
        report.costs.push(StackCost {
            stack: id,
            allocations: cost[0],
            allocated_bytes: cost[1],
            temporary: cost[2],
            peak_bytes: cost[3],
            peak_blocks: cost[4],
            live_bytes: cost[5],
            live_blocks: cost[6],
            lost_bytes: cost[7],
            lost_blocks: cost[8],
        });
    }
    let sum = |field: fn(&StackCost) -> u64| report.costs.iter().map(field).sum::<u64>();
    report.program = Some(Program {
        command: vec!["./app".into(), "--listen".into(), "127.0.0.1:8080".into(), "--workers=4".into()],
        pid: 4242,
        exit: Some(Termination { code: Some(0), signal: None }),
        duration_ns: 81_234_567_800,
        allocations: sum(|it| it.allocations),
        frees: sum(|it| it.allocations) - sum(|it| it.live_blocks),
        allocated_bytes: sum(|it| it.allocated_bytes),
        peak_bytes: sum(|it| it.peak_bytes),
        peak_at_ns: 61_400_000_000,
        peak_rss_bytes: 4_437_184,
        temporary: sum(|it| it.temporary),
        live: Total { bytes: sum(|it| it.live_bytes), blocks: sum(|it| it.live_blocks) },
        leaks: LeakTotals::Some(Leaks {
            definite: Total { bytes: sum(|it| it.lost_bytes), blocks: sum(|it| it.lost_blocks) },
            indirect: Total { bytes: 4_160, blocks: 52 },
            possible: Total::default(),
            reachable: Total { bytes: 279_000, blocks: 3_106 },
        }),
    });
    report.recording = Some("app.4242.heapwise".into());
    report.notes = vec![
        "plugin.so has no symbols; its frames are shown by address.".into(),
        "Page faults were sampled every 100 ms.".into(),
    ];
    report.sources.push(Excerpt {
        path: "/home/me/app/src/app.c".into(),
        first_line: 5,
        lines: [
            "#include \"app.h\"",
            "",
            "/* One request; the caller owns it. */",
            "struct request *",
            "make(const char *name)",
            "{",
            "\tstruct request *r;",
            "\tr = malloc(sizeof *r);",
            "\tif (r == NULL)",
            "\t\treturn NULL;",
            "\tr->name = name;",
            "\tr->next = NULL;",
            "\treturn r;",
            "}",
        ]
        .map(str::to_owned)
        .to_vec(),
    });
    report.findings = findings(&ids);
    report.timeline =
        timeline(&mut Random(7), 900, 81_234_567_800, report.program.as_ref().map_or(0, |it| it.peak_bytes));
    report.children = vec![Child {
        command: "/bin/sh -c 'gzip -9 access.log'".into(),
        pid: 4250,
        recording: Some("gzip.4250.heapwise".into()),
        exit: Some(Termination { code: Some(0), signal: None }),
        allocations: 118,
        leaks: LeakTotals::Some(Leaks::default()),
        errors: 0,
    }];
    report
}

fn findings(ids: &[StackId]) -> Vec<Finding> {
    let mut first = leak(ids[0], 880_000, 20_000);
    first.help = Some("free the request in `finish`, or keep a pointer to it until the server stops".into());
    let share = |stack, bytes, blocks| StackShare { stack, total: Total { bytes, blocks } };
    first.stacks = vec![share(ids[0], 660_000, 15_000), share(ids[2], 220_000, 5_000)];
    let step = |stack, bytes, blocks, offset| HeldStep { stack, total: Total { bytes, blocks }, offset };
    first.held = Some(Held {
        kind: RootKind::Global,
        place: 0x5555_0000_4050,
        variable: Some(Variable { name: Some("registry".into()), offset: 0, module: "server".into() }),
        steps: vec![step(ids[2], 640, 20, Some(8)), step(ids[0], 44, 1, None)],
        left_out: 3,
        retained: Total { bytes: 1_100_000, blocks: 20_100 },
    });
    first.related =
        vec![Related { message: "last reference dropped here".into(), place: Place::Stack(ids[4]) }];
    first.fix = Some(Fix {
        message: "free r before returning".into(),
        safety: Safety::Unsafe,
        edits: vec![Edit {
            location: Location {
                path: "/home/me/app/src/server.c".into(),
                line: 131,
                column: Some(2),
                ..Location::default()
            },
            insert: "free(r);\n".into(),
        }],
    });
    let growth = Finding {
        rule: Rule::UnboundedGrowth,
        kind: None,
        severity: Severity::Warning,
        message: "live bytes grow by 1.8 KiB per second over the last 80 s".into(),
        bytes: Some(148_000),
        blocks: Some(3_100),
        ..leak(ids[2], 0, 0)
    };
    let temporary = Finding {
        rule: Rule::TemporaryAllocations,
        kind: None,
        severity: Severity::Note,
        message: "690,000 blocks are freed before the next allocation; a buffer on the stack would do".into(),
        bytes: Some(55_200_000),
        blocks: Some(690_000),
        ..leak(ids[4], 0, 0)
    };
    let double = Finding {
        rule: Rule::DoubleFree,
        kind: None,
        message: "a block of 64 bytes is freed twice".into(),
        bytes: None,
        blocks: None,
        ..leak(ids[3], 0, 0)
    };
    vec![first, leak(ids[2], 12_480, 260), leak(ids[5], 472, 1), double, growth, temporary]
}

fn timeline(random: &mut Random, length: u64, duration_ns: u64, peak: u64) -> Timeline {
    let mut tick = Tick::default();
    let peak_tick = length * 61_400 / 81_234;
    let ticks = (0..=length).map(|at| {
        let growth = peak * 7 / 10 * at / length;
        let wave = random.below(peak / 12 + 1);
        tick.at_ns = duration_ns / length * at;
        tick.live_bytes = if at == peak_tick { peak } else { growth + wave };
        tick.live_blocks = tick.live_bytes / 44;
        tick.rss_bytes = 1_600_000 + growth * 9 / 5 + peak / 3;
        tick.allocations += 1_400;
        tick.minor_faults += random.skewed(12);
        tick.major_faults += u64::from(random.below(200) == 0);
        tick
    });
    Timeline { ticks: ticks.collect() }
}

/// Names that try to end elements, run scripts, reverse text and forge lines.
pub fn hostile() -> Report {
    let mut report = small();
    let names = [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "]]></style><svg onload=alert(1)>",
        "\u{202e}gpj.exe\u{2066}evil",
        "a\x1b[31mred\x1b]8;;http://evil.example\x07link\0\u{9b}",
        "one\ntwo\r\u{2028}three",
        "{{script}}{{trie}}",
        "__proto__",
        "<!--<script>",
        "&lt;b&gt;&amp;",
        "${alert(1)}`'\"\\",
    ];
    for name in names {
        let hostile = frame(name, &format!("/tmp/{name}"), 1, name);
        let id = stack(&mut report, &[frame("main", "/home/me/app/src/main.c", 48, "app"), hostile]);
        report.costs.push(StackCost {
            stack: id,
            allocations: 10,
            allocated_bytes: 100_000,
            lost_bytes: 90_000,
            lost_blocks: 9,
            ..StackCost::default()
        });
        report.findings.push(Finding {
            message: name.into(),
            help: Some(name.into()),
            related: vec![Related { message: name.into(), place: Place::Stack(id) }],
            ..leak(id, 90_000, 9)
        });
        report.notes.push(name.into());
        report.sources.push(Excerpt {
            path: format!("/tmp/{name}"),
            first_line: 1,
            lines: vec![name.into(); 3],
        });
        report.children.push(Child {
            command: name.into(),
            pid: 1,
            recording: Some(name.into()),
            exit: None,
            allocations: 0,
            leaks: None,
            errors: 0,
        });
        if let Some(program) = &mut report.program {
            program.command.push(name.into());
        }
    }
    let long = frame(&"x".repeat(1 << 20), "", 0, "");
    let id = stack(&mut report, &[long]);
    report.costs.push(StackCost { stack: id, allocations: 1, allocated_bytes: 5, ..StackCost::default() });
    report
}

/// A program with about `stacks` distinct allocating stacks, 1.8 frames of the trie to each.
pub fn large(stacks: usize) -> Report {
    const FUNCTIONS: u64 = 20_000;
    const MODULES: [&str; 6] =
        ["server", "libstdc++.so.6", "libcore.so", "libc.so.6", "libssl.so.3", "libplugin.so"];
    let mut random = Random(42);
    let mut report = Report { version: "0.1.0".into(), frames: vec![vec![]], ..Report::default() };
    for function in 0..FUNCTIONS {
        let class = random.below(900);
        let module = MODULES[(class % 13).min(5) as usize];
        let name = format!(
            "service::module{}::Class{class}::method{function}(std::string const&, unsigned long)",
            class % 40
        );
        let path = format!("/build/service/src/module{}/class{class}.cc", class % 40);
        for site in 0..3 {
            report.frames.push(vec![frame(&name, &path, 10 + (function % 700) as u32 + site * 7, module)]);
        }
    }
    let frames = FUNCTIONS * 3;
    let callees: Vec<Vec<u32>> = (0..=frames)
        .map(|_| {
            let length = 1 + random.skewed(5);
            let mut list: Vec<u32> = (0..length).map(|_| 1 + random.skewed(frames) as u32).collect();
            list.sort_unstable();
            list.dedup();
            list
        })
        .collect();
    let mut inner = std::collections::VecDeque::from([(StackId::UNKNOWN, 0u32)]);
    while report.costs.len() + inner.len() < stacks {
        let (caller, frame) = inner.pop_front().unwrap_or((StackId::UNKNOWN, random.below(frames) as u32));
        for &callee in &callees[frame as usize] {
            let id = report.stacks.push(caller, FrameId(callee)).expect("far below 2^32 stacks");
            // A few unlucky levels at the top must not end the growth.
            let is_inner = inner.len() < 64 || random.below(100) < 85;
            if is_inner {
                inner.push_back((id, callee));
            }
            if !is_inner || random.below(100) < 3 {
                let cost = cost(&mut random, id, callee);
                report.costs.push(cost);
            }
        }
    }
    // Who still waits for callees has none, so it allocates itself.
    let has_cost: std::collections::HashSet<StackId> = report.costs.iter().map(|it| it.stack).collect();
    for (id, frame) in inner {
        if !has_cost.contains(&id) && id != StackId::UNKNOWN {
            let cost = cost(&mut random, id, frame);
            report.costs.push(cost);
        }
    }
    let used = report.costs.iter().fold((0, 0, 0), |sum, it| {
        (sum.0 + it.allocations, sum.1 + it.allocated_bytes, sum.2 + it.peak_bytes)
    });
    report.program = Some(Program {
        command: vec!["./server".into()],
        pid: 99,
        duration_ns: 3_600_000_000_000,
        allocations: used.0,
        allocated_bytes: used.1,
        peak_bytes: used.2,
        peak_at_ns: 2_720_000_000_000,
        peak_rss_bytes: used.2 * 5 / 4,
        ..Program::default()
    });
    report.timeline = timeline(&mut random, 2_000, 3_600_000_000_000, used.2);
    report.findings.push(leak(report.costs[0].stack, 4_096, 64));
    report
}

/// As programs are: most sites have one size, most blocks are freed, few are lost.
fn cost(random: &mut Random, stack: StackId, frame: u32) -> StackCost {
    // Half of all stacks allocate a few times only.
    let magnitude = random.skewed(16);
    let allocations = 1 + random.below(1 << magnitude);
    let size = 16 * (1 + u64::from(frame) * 7 % 40);
    let varied = if frame.is_multiple_of(3) { random.below(size * allocations) } else { 0 };
    let allocated_bytes = size * allocations + varied;
    let mean = allocated_bytes / allocations;
    let mut held = |percent, all| match random.below(100) {
        it if it < percent => 1 + random.below(allocations),
        it if it < percent + all => allocations,
        _ => 0,
    };
    let (temporary, peak_blocks, live_blocks, lost_blocks) =
        (held(15, 30), held(12, 8), held(2, 2), held(1, 1));
    StackCost {
        stack,
        allocations,
        allocated_bytes,
        temporary,
        peak_bytes: mean * peak_blocks,
        peak_blocks,
        live_bytes: mean * live_blocks,
        live_blocks,
        lost_bytes: mean * lost_blocks,
        lost_blocks,
    }
}
