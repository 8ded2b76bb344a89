//! Any bytes as a JavaScript module, and as TypeScript with JSX.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for path in ["fuzz.js", "fuzz.tsx"] {
        heapwise_fuzz::through_the_engine(heapwise_lang_js::lower(path, data));
    }
});
