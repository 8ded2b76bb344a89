//! What a process holds besides memory: descriptors, child processes, threads, mapped files; where they came from, and
//! who gave them back.
//!
//! Kept by call stack: `opened == live + closes` for each, so the cost follows what is open and the stacks that open,
//! not how often they do.

use heapwise_model::StackId;
use heapwise_trace::{Event, Nanos, ResourceKind};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Open at once, stacks that open, and stacks that close what one of them opened: more are not followed.
const LIVE_MAX: usize = 1 << 20;
const SITES_MAX: usize = 1 << 16;
const CLOSERS_MAX: usize = 1 << 8;

/// Whose numbers they are: a descriptor has the same ones whatever it is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Space {
    Descriptor,
    Process,
    Thread,
    Mapping,
}

fn space(kind: ResourceKind) -> Space {
    match kind {
        ResourceKind::File | ResourceKind::Socket | ResourceKind::Pipe | ResourceKind::Descriptor => {
            Space::Descriptor
        }
        ResourceKind::Process => Space::Process,
        ResourceKind::Thread => Space::Thread,
        ResourceKind::Mapping => Space::Mapping,
    }
}

/// One that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    pub kind: ResourceKind,
    pub number: u64,
    pub stack: StackId,
    pub at: Nanos,
}

/// What one call stack opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opener {
    pub kind: ResourceKind,
    pub opened: u64,
    pub live: u64,
    /// Most that were open at once, and when first.
    pub live_max: u64,
    pub live_max_at: Nanos,
    pub first: Nanos,
    pub last: Nanos,
    /// By who closed it; stack 0: not known.
    pub closes: BTreeMap<StackId, u64>,
}

/// See the module's page.
#[derive(Clone, Default, Debug)]
pub struct Resources {
    live: BTreeMap<(Space, u64), Open>,
    openers: FxHashMap<(StackId, ResourceKind), Opener>,
}

impl Resources {
    /// Takes the next event; those of other matters are passed over.
    pub fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Open { at, kind, number, stack, .. } => self.open(Open { kind, number, stack, at }),
            Event::Close { kind, number, stack, .. } => self.close(space(kind), number, stack),
            _ => {}
        }
    }

    fn open(&mut self, open: Open) {
        let key = (space(open.kind), open.number);
        self.close(key.0, key.1, StackId::UNKNOWN);
        if self.live.len() >= LIVE_MAX {
            return;
        }
        let count = self.openers.len();
        let opener = match self.openers.entry((open.stack, open.kind)) {
            std::collections::hash_map::Entry::Occupied(it) => it.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if count >= SITES_MAX => return,
            std::collections::hash_map::Entry::Vacant(it) => it.insert(Opener {
                kind: open.kind,
                opened: 0,
                live: 0,
                live_max: 0,
                live_max_at: open.at,
                first: open.at,
                last: open.at,
                closes: BTreeMap::new(),
            }),
        };
        opener.opened += 1;
        opener.live += 1;
        opener.last = opener.last.max(open.at);
        if opener.live > opener.live_max {
            (opener.live_max, opener.live_max_at) = (opener.live, open.at);
        }
        self.live.insert(key, open);
    }

    fn close(&mut self, space: Space, number: u64, stack: StackId) {
        let Some(open) = self.live.remove(&(space, number)) else { return };
        if let Some(opener) = self.openers.get_mut(&(open.stack, open.kind)) {
            opener.live -= 1;
            let is_known = opener.closes.contains_key(&stack) || opener.closes.len() < CLOSERS_MAX;
            *opener.closes.entry(if is_known { stack } else { StackId::UNKNOWN }).or_default() += 1;
        }
    }

    /// What is open, in the order of numbers.
    pub fn live(&self) -> impl Iterator<Item = &Open> {
        self.live.values()
    }

    /// By the stack that opened it, in the order of stacks and kinds.
    pub fn openers(&self) -> Vec<(StackId, &Opener)> {
        let mut openers: Vec<(StackId, &Opener)> = self.openers.iter().map(|it| (it.0.0, it.1)).collect();
        openers.sort_unstable_by_key(|it| (it.0, it.1.kind));
        openers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(kind: ResourceKind, number: u64, stack: u32, at: u64) -> Event<'static> {
        Event::Open { at: Nanos(at), thread: 1, kind, number, stack: StackId(stack) }
    }

    fn close(kind: ResourceKind, number: u64, stack: u32) -> Event<'static> {
        Event::Close { at: Nanos(0), thread: 1, kind, number, stack: StackId(stack) }
    }

    #[test]
    fn what_is_opened_is_live_until_it_is_closed() {
        use ResourceKind::*;
        let mut resources = Resources::default();
        let events = [
            open(File, 3, 1, 10),
            open(Socket, 4, 2, 11),
            // The same number is of another kind of number: nothing is closed.
            open(Process, 3, 1, 12),
            open(File, 5, 1, 13),
            close(Descriptor, 3, 7),
            // Closed by somebody who was not seen.
            open(File, 5, 1, 14),
            close(File, 9, 7),
        ];
        events.iter().for_each(|it| resources.apply(it));
        let live: Vec<(ResourceKind, u64)> = resources.live().map(|it| (it.kind, it.number)).collect();
        assert_eq!(live, [(Socket, 4), (File, 5), (Process, 3)]);
        let openers = resources.openers();
        let file = openers[0].1;
        assert_eq!((file.opened, file.live, file.live_max, file.live_max_at), (3, 1, 2, Nanos(13)));
        assert_eq!((file.first, file.last), (Nanos(10), Nanos(14)));
        assert_eq!(file.closes, BTreeMap::from([(StackId(0), 1), (StackId(7), 1)]));
        assert!(openers.iter().all(|(_, it)| it.opened == it.live + it.closes.values().sum::<u64>()));
    }
}
