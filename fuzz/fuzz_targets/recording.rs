//! Any bytes as a recording: read, analyzed, and reported without names.
#![no_main]

use heapwise_model::{Report, ResolvedFrame};
use heapwise_report::{json, text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((observation, analysis)) = heapwise_run::Observation::exercise(data) else { return };
    let nameless = |frame: &heapwise_model::Frame| {
        let module =
            observation.modules.get(frame.module.index()).map_or(String::new(), |it| it.path.clone());
        vec![ResolvedFrame { module, offset: frame.offset, ..ResolvedFrame::default() }]
    };
    let program = heapwise_heap::program(&observation.ledger, analysis.leaks);
    let report = Report {
        program: Some(heapwise_model::Program { command: observation.command.clone(), ..program }),
        notes: observation.notes.clone(),
        findings: analysis.findings,
        frames: observation.frames.iter().map(nameless).collect(),
        costs: analysis.costs,
        timeline: observation.ledger.timeline(),
        stacks: observation.stacks,
        ..Report::default()
    };
    let mut out = Vec::new();
    text::write(&mut out, &report, &text::TextOptions::default()).expect("a vector takes anything");
    json::write(&mut out, &report, &json::JsonOptions::default()).expect("a vector takes anything");
});
