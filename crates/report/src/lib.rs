//! One file per output format. Sees a [`heapwise_model::Report`], never how it was made.
#![forbid(unsafe_code)]

pub mod html;
