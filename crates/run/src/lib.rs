//! Launches, follows and reads processes; the only crate beside the recorder that touches others.
//!
//! ```text
//!   session    a private folder in memory: control page, the recorder's file, the rings
//!   launch     checks the command, starts it with the recorder loaded
//!   ring       the shared memory of one process image
//!   merge      records of all its threads, in the order they happened
//!   image      one process image: ids made dense, ledger, recording, what is known of it
//!   scan       stops it for a moment and finds roots and edges of its heap
//!   maps       what a process has mapped
//!   stacks     the stacks of ended threads among it
//!   functions  where the functions of its modules begin
//!   held       what it holds besides memory, as the system says
//!   node       what Node says of its JavaScript heap, through an agent in it
//!   attachment files that belong to a recording
//!   mailbox    how another `heapwise` asks for a snapshot
//!   observe    the loop over all of this, from start to the last process's end
//!   observation    what is known of a process, live or from a recording
//! ```
//!
//! `unsafe` stands here for shared mappings and system calls.

mod accounts;
mod attachment;
mod functions;
mod held;
mod image;
mod launch;
mod mailbox;
mod maps;
mod merge;
mod node;
mod objects;
mod observation;
mod observe;
pub mod page;
mod ring;
mod scan;
mod script;
mod session;
mod stacks;
mod sys;

pub use attachment::Attachment;
pub use heapwise_trace::{AttachmentKind, ResourceKind};
pub use launch::{LaunchError, check_command};
pub use mailbox::{SnapshotError, snapshot};
pub use objects::Dump;
pub use observation::{Observation, ReadError};
pub use observe::{Destination, Observed, Options, Process, RunError, Snapshots, observe};
