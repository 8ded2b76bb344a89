//! Reads heap snapshots that V8 writes: `.heapsnapshot` files of Node, Chrome, Deno and Electron.
//!
//! ```text
//!   file -> json (tokens) -> read (columns) -> retention (which edges keep, who owns what) -> ObjectHeap
//! ```
//!
//! A snapshot is one JSON object: `snapshot` (counts, and names of the fields), `nodes` and `edges` as flat arrays of
//! integers, `locations`, `strings`. It is streamed: numbers go straight into columns, and memory follows the number of
//! objects and references, whatever the file's header claims. Nothing is known of a file's layout but what it says of
//! itself.
//!
//! What keeps what alive is judged as Chrome's developer tools do, so that retained sizes and distances are the same.
//!
//! Absent on purpose: JSON trees; the allocation timeline (`samples`).
#![forbid(unsafe_code)]

mod detached;
mod distances;
mod json;
mod layout;
mod read;
mod retention;
mod scripts;

pub use distances::{NO_DISTANCE, SYSTEM_DISTANCE, distances};
pub use read::{SnapshotError, Source, read};
