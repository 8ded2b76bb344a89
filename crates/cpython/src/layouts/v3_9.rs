//! CPython 3.9.

use super::{HeapTypeLayout, InterpreterLayout, Layout, v3_8};

pub const LAYOUT: Layout = Layout {
    generations: 640,
    is_collector_of_runtime: false,
    interpreter: InterpreterLayout { next: 0, threads: 8, modules: 856, sysdict: 872, builtins: 880 },
    heap_type: HeapTypeLayout {
        size: 880,
        static_size: 408,
        name: 840,
        slots: 848,
        qualname: 856,
        cached_keys: 864,
        module: Some(872),
    },
    ..v3_8::LAYOUT
};
