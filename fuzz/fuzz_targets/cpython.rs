//! Hand-made memory of a CPython process with any words in place of its own: read, walked, compared with itself, and
//! reported.
#![no_main]

#[path = "../../crates/cpython/tests/image/mod.rs"]
mod image;

use heapwise_heap::objects::{Told, Walked, analyze, compare};
use heapwise_model::Report;
use heapwise_report::{json, text};
use image::{BASE, Image};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut image = Image::new();
    let words = image.bytes.len() as u64 / 8;
    // Two bytes for the place, one that says what the next two are: a number, an address, or an address in the middle.
    for damage in data.chunks_exact(5) {
        let (place, value) = (u16::from_le_bytes([damage[0], damage[1]]), u16::from_le_bytes([damage[3], damage[4]]));
        let value = u64::from(value);
        let value = match damage[2] % 4 {
            0 => value,
            1 => value.wrapping_sub(1 << 15) << 48,
            2 => BASE + value % words * 8,
            _ => BASE + value,
        };
        image.put(BASE + u64::from(place) % words * 8, value);
    }
    let Ok(found) = heapwise_cpython::read(&image, &image.interpreter(), &[]) else { return };
    let heap = found.heap;
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
