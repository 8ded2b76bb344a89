//! Reports of random shape, with ids, lines, columns and figures out of every range: no format may
//! panic, hang, or let a hostile character through, and JSON formats stay JSON.

use crate::{assert_harmless, base, reports, written};
use heapwise_model::*;
use heapwise_report::*;

/// xorshift64*, enough for shapes.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| make(self))
    }

    fn text(&mut self) -> String {
        self.pick(&[
            "",
            "main",
            "ä/ö\u{202e}.c",
            "/home/me/app/../x.c",
            "/home/me/app/s.c",
            reports::HOSTILE,
            "a,b:c%;d",
        ])
        .to_owned()
    }

    fn number(&mut self) -> u64 {
        self.pick(&[0, 1, 2, 3, 7, 1_000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX])
    }

    fn small(&mut self) -> u32 {
        self.pick(&[0, 1, 2, 3, 4, 9, 80, u32::MAX - 1, u32::MAX])
    }

    fn location(&mut self) -> Location {
        Location {
            path: self.text(),
            line: self.small(),
            column: self.maybe(Self::small),
            end_line: self.maybe(Self::small),
            end_column: self.maybe(Self::small),
            function: self.maybe(Self::text),
        }
    }

    fn place(&mut self) -> Place {
        match self.below(4) {
            0 => Place::Source(self.location()),
            1 => Place::Unknown,
            _ => Place::Stack(StackId(self.below(40) as u32)),
        }
    }

    fn frame(&mut self) -> ResolvedFrame {
        ResolvedFrame {
            function: self.maybe(Self::text),
            path: self.maybe(Self::text),
            line: self.maybe(Self::small),
            column: self.maybe(Self::small),
            module: self.text(),
            offset: self.number(),
            is_inlined: self.below(2) == 0,
            is_library: self.below(2) == 0,
            language: self.maybe(|random| random.pick(&[Language::C, Language::Rust])),
        }
    }

    fn finding(&mut self) -> Finding {
        Finding {
            rule: self.pick(Rule::ALL),
            kind: self.maybe(|random| random.pick(Kind::ALL)),
            severity: self.pick(&[Severity::Error, Severity::Warning, Severity::Note]),
            confidence: self.pick(&[Confidence::Certain, Confidence::Likely]),
            engine: self.pick(&[Engine::Run, Engine::Check, Engine::Snapshot]),
            language: None,
            message: self.text(),
            place: self.place(),
            related: (0..self.below(3))
                .map(|_| Related { message: self.text(), place: self.place() })
                .collect(),
            help: self.maybe(Self::text),
            bytes: self.maybe(Self::number),
            blocks: self.maybe(Self::number),
            stacks: (0..self.below(3))
                .map(|_| StackShare {
                    stack: StackId(self.below(40) as u32),
                    total: Total { bytes: self.number(), blocks: self.number() },
                })
                .collect(),
            held: self.maybe(|random| Held {
                kind: random.pick(&[RootKind::Global, RootKind::Stack, RootKind::Register]),
                place: random.number(),
                variable: random.maybe(|random| Variable {
                    name: random.maybe(Self::text),
                    offset: random.number(),
                    module: random.text(),
                }),
                steps: (0..random.below(4))
                    .map(|_| HeldStep {
                        stack: StackId(random.below(40) as u32),
                        total: Total { bytes: random.number(), blocks: random.number() },
                        offset: random.maybe(|random| random.number() as u32),
                    })
                    .collect(),
                left_out: random.number() as usize,
                retained: Total { bytes: random.number(), blocks: random.number() },
            }),
            retainers: self.maybe(|random| Retainers {
                steps: (0..random.below(4))
                    .map(|_| RetainerStep {
                        object: random.text(),
                        reference: random.text(),
                        place: random.maybe(Self::location),
                    })
                    .collect(),
                left_out: random.number() as usize,
                retained: Total { bytes: random.number(), blocks: random.number() },
            }),
            fix: self.maybe(|random| Fix {
                message: random.text(),
                safety: Safety::Unsafe,
                edits: (0..random.below(3))
                    .map(|_| Edit { location: random.location(), insert: "x".into() })
                    .collect(),
            }),
        }
    }

    fn cost(&mut self) -> StackCost {
        StackCost {
            stack: StackId(self.below(40) as u32),
            allocations: self.number(),
            allocated_bytes: self.number(),
            temporary: self.number(),
            peak_bytes: self.number(),
            peak_blocks: self.number(),
            live_bytes: self.number(),
            live_blocks: self.number(),
            lost_bytes: self.number(),
            lost_blocks: self.number(),
        }
    }

    fn total(&mut self) -> Total {
        Total { bytes: self.number(), blocks: self.number() }
    }

    fn leaks(&mut self) -> LeakTotals {
        self.maybe(|random| Leaks {
            definite: random.total(),
            indirect: random.total(),
            possible: random.total(),
            reachable: random.total(),
        })
    }

    fn program(&mut self) -> Program {
        Program {
            command: (0..self.below(3)).map(|_| self.text()).collect(),
            pid: self.small(),
            exit: self
                .maybe(|random| Termination { code: random.maybe(|_| 3), signal: random.maybe(|_| 11) }),
            duration_ns: self.number(),
            allocations: self.number(),
            frees: self.number(),
            allocated_bytes: self.number(),
            peak_bytes: self.number(),
            peak_at_ns: self.number(),
            peak_rss_bytes: self.number(),
            temporary: self.number(),
            live: self.total(),
            leaks: self.leaks(),
        }
    }

    fn report(&mut self) -> Report {
        let mut report = Report { version: "0.1.0".into(), ..Report::default() };
        report.frames = (0..20).map(|_| (0..self.below(3)).map(|_| self.frame()).collect()).collect();
        for id in 0..30 {
            let _ = report.stacks.push(StackId(self.below(id + 2) as u32), FrameId(self.below(25) as u32));
        }
        report.program = self.maybe(Self::program);
        report.recording = self.maybe(Self::text);
        report.objects = self.maybe(|random| ObjectTotals {
            total: Total { bytes: random.number(), blocks: random.number() },
            references: random.number(),
            classes: (0..random.below(8))
                .map(|_| ClassTotal {
                    name: random.text(),
                    total: Total { bytes: random.number(), blocks: random.number() },
                    retained_bytes: random.number(),
                    change: random.maybe(|random| (random.number() as i64, random.number() as i64)),
                })
                .collect(),
            before: random.maybe(|random| Total { bytes: random.number(), blocks: random.number() }),
        });
        report.notes = (0..self.below(9)).map(|_| self.text()).collect();
        report.findings = (0..self.below(12)).map(|_| self.finding()).collect();
        report.costs = (0..self.below(30)).map(|_| self.cost()).collect();
        report.sources = (0..self.below(6))
            .map(|_| Excerpt {
                path: self.text(),
                first_line: self.small(),
                lines: (0..self.below(5)).map(|_| self.text()).collect(),
            })
            .collect();
        report.timeline.ticks = (0..self.below(5))
            .map(|_| Tick {
                at_ns: self.number(),
                live_bytes: self.number(),
                rss_bytes: self.number(),
                ..Tick::default()
            })
            .collect();
        report.children = (0..self.below(8))
            .map(|_| Child {
                command: self.text(),
                pid: 1,
                recording: self.maybe(Self::text),
                exit: None,
                allocations: self.number(),
                leaks: self.leaks(),
                errors: self.number(),
            })
            .collect();
        report
    }
}

#[test]
fn no_report_breaks_a_format() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        check(&random.report(), &mut random);
    }
}

fn check(report: &Report, random: &mut Random) {
    let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    let width = random.below(200) as usize;
    let verbose = width.is_multiple_of(2);
    let options = text::TextOptions { width, verbose, base: base(), color: false, quiet: false };
    assert_harmless(&written(|out| text::write(out, report, &options)));
    let by = random.pick(Metric::ALL);
    assert_harmless(&written(|out| text::sites(out, report, by, 3, &options)));
    let text =
        written(|out| json::write(out, report, &json::JsonOptions { base: base(), ..Default::default() }));
    assert!(is_json(&text));
    // Paths of edits are whole, for tools; as JSON they are escaped as far as JSON asks.
    let text = written(|out| sarif::write(out, report, &sarif::SarifOptions { base: base() }));
    assert!(is_json(&text));
    assert_harmless(&text);
    let text = written(|out| github::write(out, report, &github::GithubOptions { base: base() }));
    assert_harmless(&text);
    assert_eq!(text.lines().count(), report.findings.len());
    assert_harmless(&written(|out| folded::write(out, report, &folded::FoldedOptions { metric: by })));
    let text = written(|out| speedscope::write(out, report, &speedscope::SpeedscopeOptions::default()));
    assert!(is_json(&text));
    assert_harmless(&text);
    assert_harmless(&written(|out| {
        valgrind_xml::write(out, report, &valgrind_xml::ValgrindXmlOptions::default())
    }));
    pprof::write(&mut Vec::new(), report, &pprof::PprofOptions::default()).unwrap();
    let allocations = report.costs.iter().map(|cost| firefox::Allocation {
        at_ns: cost.allocations,
        thread: 1,
        addr: cost.live_bytes,
        bytes: cost.lost_bytes as i64,
        stack: cost.stack,
    });
    let text = written(|out| firefox::write(out, report, allocations, &firefox::FirefoxOptions::default()));
    assert!(is_json(&text));
    assert_harmless(&text);
}
