//! Any bytes as a Python source, and as a notebook.
#![no_main]

use heapwise_lang_python::Modules;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for path in ["fuzz.py", "fuzz.ipynb"] {
        heapwise_fuzz::through_the_engine(heapwise_lang_python::lower(path, &Modules::default(), data));
    }
});
