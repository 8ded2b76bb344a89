//! Reports written by hand: a leaking C program, one without findings, findings of `check`, and one
//! in which every string is hostile.

use heapwise_model::*;

/// Name that tries everything at once: terminal escapes, a forged line, HTML, bidi, zero width, C1.
pub const HOSTILE: &str = "evil\x1b]0;owned\x07\n::error::forged</script><img src=x onerror=alert(1)>\u{202e}\u{200b}\u{9b}31m%0A;]]>&\"'";

fn frame(function: &str, path: Option<(&str, u32)>, module: &str, offset: u64) -> ResolvedFrame {
    ResolvedFrame {
        function: (!function.is_empty()).then(|| function.to_owned()),
        path: path.map(|(path, _)| path.to_owned()),
        line: path.map(|(_, line)| line),
        module: module.to_owned(),
        offset,
        is_library: module.contains(".so"),
        language: (!module.contains(".so")).then_some(Language::C),
        ..ResolvedFrame::default()
    }
}

/// Adds a stack from its innermost frame to the outermost; each entry is one address.
pub fn stack(report: &mut Report, frames: Vec<Vec<ResolvedFrame>>) -> StackId {
    if report.frames.is_empty() {
        report.frames.push(Vec::new());
    }
    let mut at = StackId::UNKNOWN;
    for resolved in frames.into_iter().rev() {
        let id = match report.frames.iter().skip(1).position(|known| *known == resolved) {
            Some(known) => known + 1,
            None => {
                report.frames.push(resolved);
                report.frames.len() - 1
            }
        };
        at = report.stacks.push(at, FrameId(id as u32)).expect("ids suffice");
    }
    at
}

pub fn finding(rule: Rule, kind: Option<Kind>, message: &str, place: Place) -> Finding {
    Finding {
        rule,
        kind,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        engine: Engine::Run,
        language: None,
        message: message.to_owned(),
        place,
        related: Vec::new(),
        help: None,
        bytes: None,
        blocks: None,
        stacks: Vec::new(),
        held: None,
        retainers: None,
        fix: None,
    }
}

fn below_main() -> Vec<Vec<ResolvedFrame>> {
    vec![
        vec![frame("__libc_start_call_main", None, "libc.so.6", 0x2724a)],
        vec![frame("__libc_start_main", None, "libc.so.6", 0x27305)],
        vec![frame("_start", None, "app", 0x1081)],
    ]
}

fn program() -> Program {
    Program {
        command: vec!["./app".into(), "--fast".into()],
        pid: 4242,
        exit: Some(Termination { code: Some(0), signal: None }),
        duration_ns: 812_345_678,
        allocations: 20_000_001,
        frees: 19_980_001,
        allocated_bytes: 950_004_096,
        peak_bytes: 1_048_576,
        peak_at_ns: 412_000_000,
        peak_rss_bytes: 9_437_184,
        temporary: 700_000,
        live: Total { bytes: 880_064, blocks: 20_001 },
        leaks: Some(Leaks {
            definite: Total { bytes: 880_000, blocks: 20_000 },
            reachable: Total { bytes: 64, blocks: 1 },
            ..Leaks::default()
        }),
    }
}

fn cost(stack: StackId, allocations: u64, size: u64, kept: u64, lost: bool) -> StackCost {
    StackCost {
        stack,
        allocations,
        allocated_bytes: allocations * size,
        temporary: allocations - kept,
        peak_bytes: (kept + 1) * size,
        peak_blocks: kept + 1,
        live_bytes: kept * size,
        live_blocks: kept,
        lost_bytes: if lost { kept * size } else { 0 },
        lost_blocks: if lost { kept } else { 0 },
    }
}

/// A leak, a double free, a mismatched free; two threads of library frames; an inlined call.
pub fn leaking() -> Report {
    let mut report = Report {
        version: "0.1.0".into(),
        program: Some(program()),
        recording: Some("app.4242.heapwise".into()),
        ..Report::default()
    };
    let app = "/home/me/app/src/app.c";
    let mut inner = frame("fill", Some((app, 12)), "app", 0x1139);
    inner.is_inlined = true;
    inner.column = Some(15);
    let make = vec![inner, frame("make", Some((app, 21)), "app", 0x1139)];
    let main = vec![frame("main", Some((app, 30)), "app", 0x1201)];
    let leak = stack(&mut report, [vec![make.clone(), main.clone()], below_main()].concat());
    let strdup = vec![frame("strdup", None, "libc.so.6", 0x9f1a0)];
    let copy = vec![frame("copy_name", Some((app, 40)), "app", 0x1300)];
    let twice = stack(&mut report, [vec![copy.clone(), main.clone()], below_main()].concat());
    let named = stack(&mut report, [vec![strdup, copy, main.clone()], below_main()].concat());
    let first = vec![frame("drop_name", Some((app, 50)), "app", 0x1400)];
    let first = stack(&mut report, [vec![first, main.clone()], below_main()].concat());
    let bare = stack(&mut report, [vec![vec![frame("", None, "plugin", 0x77)]], below_main()].concat());

    let mut lost = finding(
        Rule::MemoryLeak,
        Some(Kind::Definite),
        "880,000 bytes in 20,000 blocks are never freed",
        Place::Stack(leak),
    );
    lost.help = Some("free the block before the last pointer to it is overwritten".into());
    lost.bytes = Some(880_000);
    lost.blocks = Some(20_000);
    let again = vec![frame("read_again", Some((app, 60)), "app", 0x1500)];
    let again = stack(&mut report, [vec![make, again, main.clone()], below_main()].concat());
    let share = |stack, bytes, blocks| StackShare { stack, total: Total { bytes, blocks } };
    lost.stacks = vec![share(leak, 660_000, 15_000), share(again, 220_000, 5_000)];
    let mut double =
        finding(Rule::DoubleFree, None, "a block of 9 bytes is freed twice", Place::Stack(twice));
    double.bytes = Some(9);
    double.blocks = Some(1);
    double.related = vec![
        Related { message: "allocated here".into(), place: Place::Stack(named) },
        Related { message: "first freed here".into(), place: Place::Stack(first) },
    ];
    let mismatch = finding(
        Rule::MismatchedFree,
        None,
        "a block from `operator new[]` is given to `free`",
        Place::Stack(bare),
    );
    let mut churn = finding(
        Rule::TemporaryAllocations,
        None,
        "700,000 of 20,000,000 blocks die before the next allocation",
        Place::Stack(named),
    );
    churn.severity = Severity::Note;
    let mut nowhere =
        finding(Rule::InvalidFree, Some(Kind::Wild), "0xdead is not a heap block", Place::Unknown);
    nowhere.severity = Severity::Warning;
    let mut kept = finding(
        Rule::MemoryLeak,
        Some(Kind::Possible),
        "64 bytes in 1 block are held only by pointers into the middle of a block",
        Place::Stack(named),
    );
    kept.severity = Severity::Warning;
    kept.held = Some(Held {
        kind: RootKind::Global,
        place: 0x5555_0000_4050,
        variable: Some(Variable { name: Some("registry".into()), offset: 16, module: "app".into() }),
        steps: vec![
            HeldStep { stack: leak, total: Total { bytes: 880, blocks: 20 }, offset: Some(8) },
            HeldStep { stack: named, total: Total { bytes: 64, blocks: 1 }, offset: None },
        ],
        left_out: 0,
        retained: Total { bytes: 1_064, blocks: 3 },
    });
    report.findings = vec![lost, double, mismatch, kept, nowhere, churn];
    report.costs = vec![
        cost(leak, 20_000, 44, 20_000, true),
        cost(named, 19_980_000, 9, 0, false),
        cost(bare, 1, 64, 1, false),
        cost(StackId::UNKNOWN, 3, 8, 0, false),
    ];
    report.sources = vec![Excerpt {
        path: app.into(),
        first_line: 10,
        lines: [
            "static char *fill(size_t n) {",
            "\tsize_t all = n + 1;",
            "\tchar *text = malloc(all);",
            "\tmemset(text, 0, all);",
        ]
        .map(String::from)
        .to_vec(),
    }];
    report.timeline.ticks = (0..5)
        .map(|at| Tick {
            at_ns: at * 100_000_000,
            live_bytes: at * 200_000,
            live_blocks: at * 4_000,
            rss_bytes: 4_000_000 + at * 300_000,
            allocations: at * 1_000,
            ..Tick::default()
        })
        .collect();
    report.children = vec![Child {
        command: "sh -c true".into(),
        pid: 4243,
        recording: Some("sh.4243.heapwise".into()),
        exit: Some(Termination { code: None, signal: Some(9) }),
        allocations: 12,
        leaks: None,
        errors: 1,
    }];
    report.notes = vec!["line numbers of 3 modules are missing: no debug information".into()];
    report
}

/// A program with nothing to say.
pub fn clean() -> Report {
    let mut report = Report { findings: Vec::new(), children: Vec::new(), notes: Vec::new(), ..leaking() };
    let program = report.program.as_mut().expect("set above");
    program.live = Total { bytes: 64, blocks: 1 };
    program.leaks = Some(Leaks { reachable: Total { bytes: 64, blocks: 1 }, ..Leaks::default() });
    report
}

/// What `check` makes: source places, a fix, no program.
pub fn checked() -> Report {
    let at = |line, column, end_column| Location {
        path: "/home/me/app/src/naïve file.c".into(),
        line,
        column: Some(column),
        end_line: Some(line),
        end_column: Some(end_column),
        function: Some("make".into()),
    };
    let mut leak = finding(
        Rule::MemoryLeak,
        Some(Kind::Definite),
        "`buf` is not freed on the path that returns in line 3",
        Place::Source(at(2, 15, 25)),
    );
    leak.engine = Engine::Check;
    leak.confidence = Confidence::Proven;
    leak.language = Some(Language::C);
    leak.related =
        vec![Related { message: "leaves the function here".into(), place: Place::Source(at(3, 12, 19)) }];
    leak.fix = Some(Fix {
        message: "free buf before returning".into(),
        safety: Safety::Safe,
        edits: vec![Edit { location: at(3, 12, 12), insert: "free(buf);\n    ".into() }],
    });
    Report {
        read: Some(SourceTotals { files: 3, lines: 120 }),
        version: "0.1.0".into(),
        findings: vec![leak],
        sources: vec![Excerpt {
            path: "/home/me/app/src/naïve file.c".into(),
            first_line: 1,
            lines: ["int make(void) {", "  char *bäf = malloc(n);", "  if (bad) return -1;", "}"]
                .map(String::from)
                .to_vec(),
        }],
        ..Report::default()
    }
}

/// Hostile bytes in every string a program controls, one of them a megabyte long.
pub fn hostile() -> Report {
    let mut report = leaking();
    let long = format!("{HOSTILE}{}", "A".repeat(1 << 20));
    let program = report.program.as_mut().expect("set above");
    program.command = vec![HOSTILE.into(), long.clone()];
    for frame in report.frames.iter_mut().flatten() {
        frame.function = Some(long.clone());
        frame.path = frame.path.as_ref().map(|_| format!("/home/me/app/{HOSTILE}.c"));
        frame.module = format!("{}{HOSTILE}", frame.module);
    }
    for source in &mut report.sources {
        source.path = format!("/home/me/app/{HOSTILE}.c");
        source.lines.iter_mut().for_each(|line| *line = long.clone());
    }
    for finding in &mut report.findings {
        finding.message = format!("{} {HOSTILE}", finding.message);
        finding.help = Some(long.clone());
        finding.related.iter_mut().for_each(|related| related.message = long.clone());
    }
    report.notes = vec![long.clone()];
    report.recording = Some(format!("{HOSTILE}.heapwise"));
    for child in &mut report.children {
        child.command = long.clone();
        child.recording = Some(HOSTILE.into());
    }
    report
}
