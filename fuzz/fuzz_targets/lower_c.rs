//! Any bytes as a C source, as themselves and as a header of another.
#![no_main]

use heapwise_model::Language;

libfuzzer_sys::fuzz_target!(|data: &[u8]| heapwise_fuzz::c_family("fuzz.c", Language::C, data));
