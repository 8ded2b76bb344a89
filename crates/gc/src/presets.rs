//! Other systems' rules: the collectors with the settings that make them collect when those do.
//!
//! | Preset | Rules | Held against |
//! |---|---|---|
//! | [`cpython_3_11`], [`cpython_3_13`] | three generations: [`Generations`] | the interpreters, by `gc.callbacks` |
//! | [`cpython_3_14`] | increments: [`Increments`] | nothing: no such interpreter was at hand |
//! | [`v8_scavenger`] | a nursery of semi-spaces that doubles, promotion at the second survival | Node, by `--trace-gc` |
//!
//! What an object is to the other system, the caller says: a field for what may refer to others (CPython lists no object
//! without), and the size that it has there ([`Shape::of_size`](crate::Shape::of_size)).
//! Absent: when V8 marks its old generation, which depends on time and on heuristics that change with each version.

use crate::{
    Cycles, Generational, GenerationalOptions, Generations, Increments, ReferenceCounting,
    ReferenceCountingOptions,
};

fn cpython(cycles: Cycles) -> ReferenceCounting {
    ReferenceCounting::new(ReferenceCountingOptions { cycles, released_at_once: u32::MAX })
}

/// CPython 3.11 and 3.12.
pub fn cpython_3_11() -> ReferenceCounting {
    cpython(Cycles::Generations(Generations::CPYTHON_3_11))
}

/// CPython 3.13.
pub fn cpython_3_13() -> ReferenceCounting {
    cpython(Cycles::Generations(Generations::CPYTHON_3_13))
}

/// CPython 3.14.0 to 3.14.4; later ones are [`cpython_3_13`] again.
pub fn cpython_3_14() -> ReferenceCounting {
    cpython(Cycles::Increments(Increments::CPYTHON_3_14))
}

/// Bytes of a page of V8's new space, and what its header takes of it: fields, and a mark bit for each 8 bytes.
const PAGE_BYTES: u32 = 256 << 10;
const PAGE_HEADER_BYTES: u32 = 280 + PAGE_BYTES / 64;

/// V8's scavenger with semi-spaces that grow from one size to another, as `--min-semi-space-size` and
/// `--max-semi-space-size` say; Node 20 has 1 and 16 MiB.
pub fn v8_scavenger(from_bytes: u32, to_bytes: u32) -> Generational {
    let usable = |bytes: u32| bytes - bytes.div_ceil(PAGE_BYTES) * PAGE_HEADER_BYTES;
    Generational::new(GenerationalOptions {
        nursery_bytes: usable(from_bytes),
        nursery_limit_bytes: usable(to_bytes),
        promote_age: 2,
        ..GenerationalOptions::default()
    })
}
