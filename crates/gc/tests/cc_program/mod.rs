//! Programs that make, link, move and drop handles: what the tests and the fuzz target run.

use std::cell::RefCell;
use std::rc::Rc;

use heapwise_gc::cc::{self, Weak};
use heapwise_gc::{Cc, Trace};

/// A node of the program, with the number the twin knows it by.
#[derive(Trace)]
struct Object {
    number: usize,
    links: RefCell<Vec<Cc<Object>>>,
    #[trace(skip)]
    alive: Rc<RefCell<Vec<bool>>>,
}

impl Drop for Object {
    fn drop(&mut self) {
        assert!(std::mem::replace(&mut self.alive.borrow_mut()[self.number], false), "dropped twice");
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    Make,
    Clone {
        handle: u8,
    },
    Drop {
        handle: u8,
    },
    Link {
        from: u8,
        to: u8,
    },
    /// Moves the handle itself.
    Store {
        from: u8,
        to: u8,
    },
    /// Moves a handle out.
    Take {
        from: u8,
        link: u8,
    },
    Cut {
        from: u8,
        link: u8,
    },
    Swap {
        from: u8,
        to: u8,
    },
    Weak {
        handle: u8,
    },
    Upgrade {
        weak: u8,
    },
    Step {
        nodes: u8,
    },
    Collect,
}

impl Action {
    /// The action that three bytes stand for.
    #[allow(dead_code, reason = "the fuzz target reads bytes, the tests have a strategy")]
    pub fn decode([kind, a, b]: [u8; 3]) -> Self {
        match kind % 16 {
            0..=1 => Self::Make,
            2 => Self::Clone { handle: a },
            3..=4 => Self::Drop { handle: a },
            5..=6 => Self::Link { from: a, to: b },
            7 => Self::Store { from: a, to: b },
            8..=9 => Self::Take { from: a, link: b },
            10 => Self::Cut { from: a, link: b },
            11 => Self::Swap { from: a, to: b },
            12 => Self::Weak { handle: a },
            13 => Self::Upgrade { weak: a },
            14 => Self::Step { nodes: a % 24 },
            _ => Self::Collect,
        }
    }
}

#[derive(Default)]
pub struct Program {
    alive: Rc<RefCell<Vec<bool>>>,
    handles: Vec<Cc<Object>>,
    weak: Vec<(Weak<Object>, usize)>,
}

impl Program {
    /// What handles reach, by following real links: using a dropped value panics.
    fn reachable(&self) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let mut open: Vec<Cc<Object>> = self.handles.clone();
        while let Some(it) = open.pop() {
            if seen.insert(it.number) {
                open.extend(it.links.borrow().iter().cloned());
            }
        }
        seen.into_iter().collect()
    }

    /// Whether all that handles reach is there; exact: and nothing else.
    pub fn check(&self, exact: bool) {
        let reachable = self.reachable();
        for &number in &reachable {
            assert!(self.alive.borrow()[number], "{number} is reachable and was dropped");
        }
        if exact {
            let alive = self.alive.borrow().iter().filter(|it| **it).count();
            assert_eq!(alive, reachable.len(), "garbage is left");
        }
    }

    pub fn act(&mut self, action: Action) {
        let count = self.handles.len();
        let at = |number: u8| usize::from(number) % count;
        if let Action::Make = action {
            let number = self.alive.borrow().len();
            self.alive.borrow_mut().push(true);
            self.handles.push(Cc::new(Object {
                number,
                links: RefCell::default(),
                alive: self.alive.clone(),
            }));
            return;
        }
        if count == 0 {
            return;
        }
        match action {
            Action::Make => {}
            Action::Clone { handle } => self.handles.push(self.handles[at(handle)].clone()),
            Action::Drop { handle } => drop(self.handles.swap_remove(at(handle))),
            Action::Link { from, to } => {
                let to = self.handles[at(to)].clone();
                self.handles[at(from)].links.borrow_mut().push(to);
            }
            Action::Store { from, to } => {
                if count > 1 {
                    let to = self.handles.swap_remove(at(to));
                    let from = usize::from(from) % self.handles.len();
                    self.handles[from].links.borrow_mut().push(to);
                }
            }
            Action::Take { from, link } => {
                let from = self.handles[at(from)].clone();
                let mut links = from.links.borrow_mut();
                if !links.is_empty() {
                    let link = usize::from(link) % links.len();
                    self.handles.push(links.swap_remove(link));
                }
            }
            Action::Cut { from, link } => {
                let cut = {
                    let mut links = self.handles[at(from)].links.borrow_mut();
                    let length = links.len();
                    (length > 0).then(|| links.swap_remove(usize::from(link) % length))
                };
                drop(cut);
            }
            Action::Swap { from, to } => {
                let (from, to) = (&self.handles[at(from)], &self.handles[at(to)]);
                if !Cc::ptr_eq(from, to) {
                    from.links.swap(&to.links);
                }
            }
            Action::Weak { handle } => {
                let handle = &self.handles[at(handle)];
                self.weak.push((Cc::downgrade(handle), handle.number));
            }
            Action::Upgrade { weak } => {
                if let Some((weak, number)) = self.weak.get(usize::from(weak) % self.weak.len().max(1)) {
                    match weak.upgrade() {
                        Some(it) => {
                            assert_eq!(it.number, *number);
                            self.handles.push(it);
                        }
                        None => {
                            assert!(!self.alive.borrow()[*number], "a weak handle lost a living value")
                        }
                    }
                }
            }
            Action::Step { nodes } => {
                cc::step(usize::from(nodes));
            }
            Action::Collect => {
                cc::collect();
            }
        }
    }

    /// Drops everything.
    pub fn end(mut self) {
        cc::collect();
        self.check(true);
        self.handles.clear();
        cc::collect();
        self.check(true);
        for (weak, _) in &self.weak {
            assert!(weak.upgrade().is_none());
        }
    }
}
