//! Why memory is alive, in words.

use crate::sanitize::clean_to;
use heapwise_model::{Held, RootKind};

/// Characters of a variable's name.
const LONGEST_NAME: usize = 120;

/// The root of a chain: ``global `cache`+16 (app)``, `a thread's stack`.
pub fn root(held: &Held) -> String {
    match (held.kind, &held.variable) {
        (RootKind::Global, Some(it)) => {
            let module = clean_to(&it.module, LONGEST_NAME);
            match &it.name {
                Some(name) if it.offset == 0 => {
                    format!("global `{}` ({module})", clean_to(name, LONGEST_NAME))
                }
                Some(name) => format!("global `{}`+{} ({module})", clean_to(name, LONGEST_NAME), it.offset),
                None => format!("a global at {module}+{:#x}", it.offset),
            }
        }
        (RootKind::Global, None) => "a global".to_owned(),
        (RootKind::ThreadLocal, _) => "thread-local storage".to_owned(),
        (RootKind::Stack, _) => "a thread's stack".to_owned(),
        (RootKind::Register, _) => "a register".to_owned(),
        (RootKind::Mapping, _) => "a mapping of the program".to_owned(),
    }
}

/// The root's kind as a key.
pub fn kind(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Global => "global",
        RootKind::ThreadLocal => "thread-local",
        RootKind::Stack => "stack",
        RootKind::Register => "register",
        RootKind::Mapping => "mapping",
    }
}
