//! Any bytes as an ELF file: inspected, and resolved at several addresses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heapwise_symbols::exercise(data));
