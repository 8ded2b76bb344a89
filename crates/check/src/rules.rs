//! The rules, one per file: those on C and C++, which word what the engine of [`analysis`](crate::analysis) meets
//! on a path, and those on managed languages, which judge what [`managed`](crate::managed) knows of a whole program.

pub mod managed;
pub mod native;
