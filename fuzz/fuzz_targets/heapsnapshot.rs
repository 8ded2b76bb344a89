//! Any bytes as a heap snapshot of V8: read, walked, compared with itself, and reported.
#![no_main]

use heapwise_heap::objects::{Told, Walked, analyze, compare};
use heapwise_model::Report;
use heapwise_report::{json, text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(heap) = heapwise_snapshot::read(data, &mut |_| {}) else { return };
    heapwise_snapshot::distances(&heap);
    let walked = Walked::new(&heap);
    for (totals, told) in [analyze(&walked), compare(&[&heap, &heap], &walked)] {
        let findings = told.into_iter().map(|Told { finding, .. }| finding).collect();
        let report =
            Report { objects: Some(totals), notes: heap.notes.clone(), findings, ..Report::default() };
        let mut out = Vec::new();
        text::write(&mut out, &report, &text::TextOptions::default()).expect("a vector takes anything");
        json::write(&mut out, &report, &json::JsonOptions::default()).expect("a vector takes anything");
    }
});
