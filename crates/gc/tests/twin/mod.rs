//! A heap beside a naive twin that never frees: what the tests and the fuzz target run generated programs on.

use std::collections::{HashMap, HashSet};

use heapwise_gc::{
    Collector, Cycles, Generational, GenerationalOptions, Handle, Heap, MarkSweep, MarkSweepOptions,
    ReferenceCounting, ReferenceCountingOptions, Regions, RegionsOptions, Root, Shape, Weak,
};

/// One thing a program does; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Allocate { references: u8, bytes: u16 },
    Set { object: u16, field: u8, value: u16 },
    Clear { object: u16, field: u8 },
    Push { object: u16 },
    Pop,
    Root { object: u16 },
    Unroot { at: u16 },
    Weak { object: u16 },
    Upgrade { at: u16 },
    Watch { object: u16 },
    Finalize { keep: bool },
    Step { objects: u8 },
    Collect,
}

impl Action {
    /// The action that six bytes stand for.
    #[allow(dead_code, reason = "the fuzz target reads bytes, the tests have a strategy")]
    pub fn decode(bytes: [u8; 6]) -> Self {
        let [kind, field, a, b, c, d] = bytes;
        let (object, value) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        match kind % 16 {
            0..=2 => Self::Allocate { references: field % 6, bytes: object % 300 },
            3 => Self::Allocate { references: field, bytes: object % 9000 },
            4..=6 => Self::Set { object, field, value },
            7 => Self::Clear { object, field },
            8 => Self::Push { object },
            9 => Self::Pop,
            10 => Self::Root { object },
            11 => Self::Unroot { at: object },
            12 if field % 2 == 0 => Self::Weak { object },
            12 => Self::Upgrade { at: object },
            13 if field % 2 == 0 => Self::Watch { object },
            13 => Self::Finalize { keep: field % 4 == 1 },
            14 => Self::Step { objects: field },
            _ => Self::Collect,
        }
    }
}

/// An object as the twin knows it; nothing is ever forgotten.
struct Object {
    handle: Handle,
    fields: Vec<Option<usize>>,
    bytes: Vec<u8>,
    watched: bool,
    told: bool,
}

/// The heap beside what it should hold.
struct Twin<C: Collector> {
    heap: Heap<C>,
    objects: Vec<Object>,
    by_handle: HashMap<Handle, usize>,
    stack: Vec<usize>,
    roots: Vec<(Root, usize)>,
    weak: Vec<(Weak, usize)>,
}

impl<C: Collector> Twin<C> {
    fn new(collector: C) -> Self {
        let heap = Heap::new(collector);
        let (objects, by_handle) = (Vec::new(), HashMap::new());
        Self { heap, objects, by_handle, stack: Vec::new(), roots: Vec::new(), weak: Vec::new() }
    }

    /// What roots reach, in the order of allocation.
    fn reachable(&self) -> Vec<usize> {
        let mut seen = HashSet::new();
        let mut open: Vec<usize> =
            self.stack.iter().copied().chain(self.roots.iter().map(|it| it.1)).collect();
        while let Some(object) = open.pop() {
            if seen.insert(object) {
                open.extend(self.objects[object].fields.iter().flatten());
            }
        }
        let mut seen: Vec<usize> = seen.into_iter().collect();
        seen.sort_unstable();
        seen
    }

    fn pick(&self, number: u16) -> Option<usize> {
        let reachable = self.reachable();
        (!reachable.is_empty()).then(|| reachable[usize::from(number) % reachable.len()])
    }

    fn field(&self, object: u16, field: u8) -> Option<(usize, usize)> {
        let object = self.pick(object)?;
        let count = self.objects[object].fields.len();
        (count > 0).then(|| (object, usize::from(field) % count))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Allocate { references, bytes } => {
                let shape = Shape::new(u32::from(references), u32::from(bytes));
                let handle = self.heap.allocate(shape).expect("no limit");
                let payload: Vec<u8> =
                    (0..bytes).map(|it| (it as usize * 31 + self.objects.len()) as u8).collect();
                assert!(self.heap.bytes(handle).iter().all(|&it| it == 0), "fresh payload is zero");
                self.heap.bytes_mut(handle).copy_from_slice(&payload);
                self.heap.push(handle);
                self.stack.push(self.objects.len());
                self.by_handle.insert(handle, self.objects.len());
                let fields = vec![None; usize::from(references)];
                self.objects.push(Object { handle, fields, bytes: payload, watched: false, told: false });
            }
            Action::Set { object, field, value } => {
                let (Some((object, field)), Some(value)) = (self.field(object, field), self.pick(value))
                else {
                    return;
                };
                let handle = self.objects[value].handle;
                self.heap.set(self.objects[object].handle, field as u32, Some(handle));
                self.objects[object].fields[field] = Some(value);
            }
            Action::Clear { object, field } => {
                let Some((object, field)) = self.field(object, field) else { return };
                self.heap.set(self.objects[object].handle, field as u32, None);
                self.objects[object].fields[field] = None;
            }
            Action::Push { object } => {
                let Some(object) = self.pick(object) else { return };
                self.heap.push(self.objects[object].handle);
                self.stack.push(object);
            }
            Action::Pop => {
                if let Some(object) = self.stack.pop() {
                    assert_eq!(self.heap.pop(), self.objects[object].handle);
                    assert_eq!(self.heap.bytes(self.objects[object].handle), self.objects[object].bytes);
                }
            }
            Action::Root { object } => {
                let Some(object) = self.pick(object) else { return };
                self.roots.push((self.heap.root(self.objects[object].handle), object));
            }
            Action::Unroot { at } => {
                if !self.roots.is_empty() {
                    let (root, object) = self.roots.swap_remove(usize::from(at) % self.roots.len());
                    assert_eq!(self.heap.unroot(root), self.objects[object].handle);
                }
            }
            Action::Weak { object } => {
                let Some(object) = self.pick(object) else { return };
                self.weak.push((self.heap.downgrade(self.objects[object].handle), object));
            }
            Action::Upgrade { at } => {
                if self.weak.is_empty() {
                    return;
                }
                let (weak, object) = self.weak[usize::from(at) % self.weak.len()];
                match self.heap.upgrade(weak) {
                    Some(handle) => {
                        assert_eq!(handle, self.objects[object].handle);
                        self.heap.push(handle);
                        self.stack.push(object);
                    }
                    None => {
                        let gone = self.objects[object].told || !self.reachable().contains(&object);
                        assert!(gone, "a weak reference to a reachable object ended");
                    }
                }
            }
            Action::Watch { object } => {
                let Some(object) = self.pick(object) else { return };
                self.heap.watch(self.objects[object].handle);
                self.objects[object].watched = true;
            }
            Action::Finalize { keep } => self.finalize(keep),
            Action::Step { objects } => {
                self.heap.step(u64::from(objects));
            }
            Action::Collect => {
                self.heap.collect();
                self.check_exact();
            }
        }
    }

    fn finalize(&mut self, keep: bool) {
        let Some(handle) = self.heap.next_finalizable() else { return };
        let object = self.by_handle[&handle];
        assert!(self.objects[object].watched && !self.objects[object].told, "told twice, or never asked");
        self.objects[object].told = true;
        // It and what it reaches is whole.
        assert_eq!(self.heap.bytes(handle), self.objects[object].bytes);
        if keep {
            self.heap.push(handle);
            self.stack.push(object);
        }
    }

    /// Everything reachable is as the twin has it.
    fn check(&mut self) {
        for object in self.reachable() {
            let Object { handle, fields, bytes, .. } = &self.objects[object];
            assert_eq!(self.heap.bytes(*handle), bytes);
            for (at, field) in fields.iter().enumerate() {
                let expected = field.map(|it| self.objects[it].handle);
                assert_eq!(self.heap.get(*handle, at as u32), expected);
            }
        }
        self.heap.verify().expect("a sound heap");
    }

    /// After a whole collection nothing unreachable is left but what waits to be finalized.
    fn check_exact(&mut self) {
        let reachable = self.heap.verify().expect("a sound heap");
        assert_eq!(
            self.heap.statistics().live_objects,
            reachable.objects,
            "garbage after a whole collection"
        );
        let live = self.reachable().len() as u64;
        assert!(reachable.objects >= live, "what the heap calls reachable is less than what is");
        let waiting = self.objects.iter().any(|it| it.watched && !it.told);
        assert!(waiting || reachable.objects == live, "{} objects, {live} are reachable", reachable.objects);
    }

    /// The end of the program: all roots go, all finalizable objects are told, nothing is left.
    fn end(mut self) {
        self.heap.truncate(0);
        self.stack.clear();
        for (root, _) in std::mem::take(&mut self.roots) {
            self.heap.unroot(root);
        }
        self.heap.collect();
        let mut rounds = 0;
        loop {
            let before = self.objects.iter().filter(|it| it.told).count();
            while self.objects.iter().any(|it| it.watched && !it.told) {
                let told = self.objects.iter().filter(|it| it.told).count();
                self.finalize(false);
                if told == self.objects.iter().filter(|it| it.told).count() {
                    break;
                }
            }
            self.heap.collect();
            rounds += 1;
            assert!(rounds <= self.objects.len() + 1, "finalization does not end");
            if before == self.objects.iter().filter(|it| it.told).count() {
                break;
            }
        }
        assert!(self.objects.iter().all(|it| it.told || !it.watched), "a watched object was never told");
        for (weak, _) in &self.weak {
            assert_eq!(self.heap.upgrade(*weak), None);
        }
        self.heap.verify().expect("a sound heap");
        let statistics = self.heap.statistics();
        assert_eq!((statistics.live_objects, statistics.live_bytes), (0, 0));
        assert_eq!(statistics.work.freed, statistics.allocated_objects);
    }
}

/// Runs a program, checks after each action, and ends it.
pub fn run(collector: impl Collector, actions: &[Action]) {
    let mut twin = Twin::new(collector);
    for &action in actions {
        twin.act(action);
        twin.check();
    }
    twin.end();
}

pub fn reference_counting(cycles: Cycles) -> ReferenceCounting {
    ReferenceCounting::new(ReferenceCountingOptions { cycles, released_at_once: 3 })
}

pub fn mark_sweep() -> MarkSweep {
    MarkSweep::new(MarkSweepOptions { minimum_bytes: 2000, growth: 1.3, slice_objects: 3, pace: 1.5 })
}

pub fn stop_the_world() -> MarkSweep {
    MarkSweep::new(MarkSweepOptions {
        minimum_bytes: 2000,
        growth: 1.3,
        ..MarkSweepOptions::stop_the_world()
    })
}

pub fn generational(promote_age: u8) -> Generational {
    Generational::new(GenerationalOptions {
        nursery_bytes: 1 << 10,
        nursery_limit_bytes: 1 << 12,
        promote_age,
        growth: 1.5,
        minimum_bytes: 4000,
    })
}

pub fn regions() -> Regions {
    Regions::new(RegionsOptions {
        region_bytes: 2048,
        minimum_bytes: 2000,
        growth: 1.3,
        pause_objects: 5,
        ..RegionsOptions::default()
    })
}
