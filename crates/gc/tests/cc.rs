//! `Cc<T>`: what is dropped when, what is never dropped too early, and what misuse does.

mod cc_program;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use heapwise_gc::cc::{self, Pacing, Weak};
use heapwise_gc::{Cc, Trace, unsize};

/// Counts drops.
#[derive(Trace)]
struct Tally(#[trace(skip)] Rc<Cell<usize>>);

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[derive(Trace)]
struct Node {
    links: RefCell<Vec<Cc<Node>>>,
    _tally: Tally,
}

fn node(drops: &Rc<Cell<usize>>) -> Cc<Node> {
    Cc::new(Node { links: RefCell::default(), _tally: Tally(drops.clone()) })
}

fn link(from: &Cc<Node>, to: &Cc<Node>) {
    from.links.borrow_mut().push(to.clone());
}

const MANY: usize = if cfg!(miri) { 200 } else { 1_000_000 };

#[test]
fn without_cycles_values_go_with_their_last_handle() {
    let drops = Rc::default();
    let a = node(&drops);
    let b = node(&drops);
    link(&a, &b);
    drop(b);
    assert_eq!(drops.get(), 0);
    drop(a);
    assert_eq!(drops.get(), 2);
    assert_eq!(cc::collect(), 0);
}

#[test]
fn cycles_are_found_and_what_is_held_is_not() {
    let drops = Rc::default();
    let nodes: Vec<Cc<Node>> = (0..6).map(|_| node(&drops)).collect();
    for at in 0..3 {
        link(&nodes[at], &nodes[(at + 1) % 3]);
        link(&nodes[at + 3], &nodes[(at + 1) % 3 + 3]);
    }
    link(&nodes[0], &nodes[3]);
    let held = nodes[4].clone();
    let weak = Cc::downgrade(&nodes[1]);
    drop(nodes);
    assert_eq!(cc::collect(), 3, "the first ring alone");
    assert_eq!(drops.get(), 3);
    assert!(weak.upgrade().is_none());
    assert_eq!(Cc::strong_count(&held), 2);
    assert_eq!(cc::collect(), 0);
    drop(held);
    assert_eq!(cc::collect(), 3);
    assert_eq!(drops.get(), 6);
}

#[test]
fn a_long_list_is_dropped_without_recursion() {
    #[derive(Trace)]
    struct Link {
        _next: Option<Cc<Link>>,
        _tally: Tally,
    }
    let drops: Rc<Cell<usize>> = Rc::default();
    let mut list = None;
    for _ in 0..MANY {
        list = Some(Cc::new(Link { _next: list, _tally: Tally(drops.clone()) }));
    }
    drop(list);
    assert_eq!(drops.get(), MANY);
}

#[test]
fn a_long_ring_is_collected_without_recursion() {
    let drops = Rc::default();
    let first = node(&drops);
    let mut last = first.clone();
    for _ in 1..MANY {
        let next = node(&drops);
        link(&last, &next);
        last = next;
    }
    link(&last, &first);
    drop((first, last));
    cc::collect();
    assert_eq!(drops.get(), MANY);
}

#[test]
fn what_a_mutable_borrow_hides_is_kept() {
    let drops = Rc::default();
    let a = node(&drops);
    let b = node(&drops);
    link(&a, &b);
    link(&b, &a);
    let held = a.clone();
    {
        let _hidden = held.links.borrow_mut();
        drop((a, b));
        assert_eq!(cc::collect(), 0);
    }
    drop(held);
    assert_eq!(cc::collect(), 2);
}

#[test]
fn slices_judge_only_what_they_prove() {
    // A handle is moved from a traced node to the stack between two slices, which no count tells.
    let drops: Rc<Cell<usize>> = Rc::default();
    let ring: Vec<Cc<Node>> = (0..200).map(|_| node(&drops)).collect();
    for at in 0..ring.len() {
        link(&ring[at], &ring[(at + 1) % ring.len()]);
    }
    for start in 0..if cfg!(miri) { 2 } else { 60 } {
        let entry = ring[start].clone();
        let extra = ring[(start + 7) % ring.len()].clone();
        drop(extra);
        let mut moved = None;
        let mut rounds = 0;
        while cc::step(16) {
            // Takes the next handle out, walks by it, and puts the one it held before back in.
            let walker: Cc<Node> = match moved.take() {
                Some(it) => it,
                None => entry.links.borrow_mut().pop().expect("a ring"),
            };
            let next = walker.links.borrow_mut().pop().expect("a ring");
            walker.links.borrow_mut().push(next.clone());
            drop(next);
            moved = Some(walker);
            rounds += 1;
            assert!(rounds < 1000, "a round does not end");
        }
        if let Some(walker) = moved {
            entry.links.borrow_mut().push(walker);
        }
        assert_eq!(drops.get(), 0, "a reachable node was dropped");
    }
    drop(ring);
    cc::collect();
    assert_eq!(drops.get(), 200);
}

#[test]
fn a_handle_that_moved_out_between_slices_keeps_its_ring() {
    let drops: Rc<Cell<usize>> = Rc::default();
    let nodes: Vec<Cc<Node>> = (0..100).map(|_| node(&drops)).collect();
    for at in 0..nodes.len() {
        link(&nodes[at], &nodes[(at + 1) % nodes.len()]);
    }
    let only = nodes[0].clone();
    drop(nodes);
    let mut moved = false;
    while cc::step(20) {
        if !moved {
            // From here on the ring is reached by what was its own handle.
            let own = only.links.borrow_mut().pop().expect("a ring");
            assert_eq!(Cc::strong_count(&own), 1);
            only.links.borrow_mut().push(own);
            moved = true;
        }
    }
    assert!(moved, "one slice was enough: the test tests nothing");
    assert_eq!(drops.get(), 0);
    drop(only);
    while cc::step(20) {}
    cc::collect();
    assert_eq!(drops.get(), 100);
}

#[test]
fn destructors_use_whole_neighbors_and_panic_on_dropped_ones() {
    #[derive(Trace)]
    struct Friend {
        other: RefCell<Option<Cc<Friend>>>,
        name: String,
        #[trace(skip)]
        log: Rc<RefCell<Vec<String>>>,
    }
    impl Drop for Friend {
        fn drop(&mut self) {
            let other = self.other.borrow();
            let other = other.as_ref().expect("it was set");
            let said = match catch_unwind(AssertUnwindSafe(|| other.name.clone())) {
                Ok(name) => format!("{} sees {name}", self.name),
                Err(_) => format!("{} is alone: {}", self.name, Cc::is_dropped(other)),
            };
            assert!(Cc::downgrade(other).upgrade().is_none());
            assert_eq!(cc::collect(), 0, "no collection within one");
            self.log.borrow_mut().push(said);
        }
    }
    let log = Rc::default();
    let friend =
        |name: &str| Cc::new(Friend { other: RefCell::default(), name: name.into(), log: Rc::clone(&log) });
    let (a, b) = (friend("a"), friend("b"));
    *a.other.borrow_mut() = Some(b.clone());
    *b.other.borrow_mut() = Some(a.clone());
    drop((a, b));
    assert_eq!(cc::collect(), 2);
    let mut log = log.take();
    log.sort_by_key(|it| it.contains("alone"));
    assert!(log[0].contains("sees") && log[1].ends_with("is alone: true"), "{log:?}");
}

#[test]
fn a_handle_that_escapes_from_a_destructor_panics_when_used() {
    thread_local!(static ESCAPED: RefCell<Option<Cc<Escapist>>> = const { RefCell::new(None) });
    #[derive(Trace)]
    struct Escapist {
        own: RefCell<Option<Cc<Escapist>>>,
        value: u64,
    }
    impl Drop for Escapist {
        fn drop(&mut self) {
            ESCAPED.with(|it| *it.borrow_mut() = self.own.borrow_mut().take());
        }
    }
    let it = Cc::new(Escapist { own: RefCell::default(), value: 7 });
    *it.own.borrow_mut() = Some(it.clone());
    assert_eq!(it.value, 7);
    drop(it);
    assert_eq!(cc::collect(), 1);
    let escaped = ESCAPED.with(RefCell::take).expect("it escaped");
    assert!(Cc::is_dropped(&escaped));
    let copy = escaped.clone();
    drop(copy);
    assert!(catch_unwind(AssertUnwindSafe(|| escaped.value)).is_err());
    assert_eq!(format!("{:?}", Cc::downgrade(&escaped)), "(Weak)");
    assert!(Cc::downgrade(&escaped).upgrade().is_none());
    cc::collect();
    drop(escaped);
}

#[test]
fn a_destructor_that_panics_stops_no_other() {
    #[derive(Trace)]
    struct Bomb {
        links: RefCell<Vec<Cc<Bomb>>>,
        armed: bool,
        _tally: Tally,
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.armed, "it goes off");
        }
    }
    let drops: Rc<Cell<usize>> = Rc::default();
    let bomb = |armed| Cc::new(Bomb { links: RefCell::default(), armed, _tally: Tally(drops.clone()) });
    let ring = [bomb(false), bomb(true), bomb(false)];
    for at in 0..3 {
        ring[at].links.borrow_mut().push(ring[(at + 1) % 3].clone());
    }
    drop(ring);
    assert!(catch_unwind(cc::collect).is_err());
    assert_eq!(drops.get(), 3);
    let chain = bomb(true);
    let holder = bomb(false);
    holder.links.borrow_mut().push(chain);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(holder))).is_err());
    assert_eq!(drops.get(), 5);
    assert_eq!(cc::collect(), 0);
}

#[test]
fn dyn_slices_weak_and_new_cyclic() {
    trait Named: Trace {
        fn name(&self) -> String;
    }
    #[derive(Trace)]
    struct Person {
        own: Weak<Person>,
        name: &'static str,
        friends: RefCell<Vec<Cc<dyn Named>>>,
    }
    impl Named for Person {
        fn name(&self) -> String {
            format!("{} with {}", self.name, self.friends.borrow().len())
        }
    }
    let person = Cc::new_cyclic(|own| {
        assert!(own.upgrade().is_none());
        Person { own: own.clone(), name: "Ada", friends: RefCell::default() }
    });
    assert!(Cc::ptr_eq(&person, &person.own.upgrade().expect("it is there")));
    assert_eq!(Cc::weak_count(&person), 1);
    let named: Cc<dyn Named> = unsize!(person.clone() => dyn Named);
    person.friends.borrow_mut().push(named.clone());
    assert_eq!(named.name(), "Ada with 1");
    let weak = Cc::downgrade(&named);
    drop((named, person));
    assert!(weak.upgrade().is_some());
    assert_eq!(cc::collect(), 1);
    assert!(weak.upgrade().is_none());

    let items: Cc<[Cc<String>]> =
        unsize!(Cc::new([Cc::new("a".to_string()), Cc::new("b".to_string())]) => [Cc<String>]);
    assert_eq!(items.len(), 2);
    assert_eq!(*items[1], "b");

    let gone = catch_unwind(|| {
        Cc::<Cell<u8>>::new_cyclic(|own| {
            let _kept = own.clone();
            panic!("no value")
        })
    });
    assert!(gone.is_err());
    assert!(Weak::<u8>::new().upgrade().is_none());
}

#[test]
fn try_unwrap_gives_the_value_once() {
    let drops = Rc::default();
    let a = node(&drops);
    let b = a.clone();
    let Err(a) = Cc::try_unwrap(a) else { panic!("there are two handles") };
    drop(b);
    let weak = Cc::downgrade(&a);
    let value = Cc::try_unwrap(a).unwrap_or_else(|_| panic!("there is one handle"));
    assert!(weak.upgrade().is_none());
    assert_eq!(drops.get(), 0);
    cc::collect();
    drop(value);
    assert_eq!(drops.get(), 1);
}

#[test]
fn derive_covers_enums_generics_and_collections() {
    #[derive(Trace)]
    enum Tree<K, V> {
        Leaf,
        Pair(K, V),
        Branch { children: Vec<Cc<RefCell<Tree<K, V>>>>, names: HashMap<String, Cc<RefCell<Tree<K, V>>>> },
    }
    #[derive(Trace)]
    enum Never {}
    #[derive(Trace)]
    struct Unit;
    fn acyclic<T: Trace>() -> bool {
        T::is_acyclic()
    }
    assert!(acyclic::<(u8, [String; 3], Option<Unit>, Never)>());
    assert!(!acyclic::<Tree<u8, u8>>() && !acyclic::<Tally>() && !acyclic::<Cc<u8>>());
    let leaf = Cc::new(RefCell::new(Tree::Leaf));
    let pair = Cc::new(RefCell::new(Tree::Pair(1u8, "x".to_string())));
    let branch =
        Cc::new(RefCell::new(Tree::Branch { children: vec![leaf.clone(), pair], names: HashMap::new() }));
    if let Tree::Branch { names, .. } = &mut *branch.borrow_mut() {
        names.insert("own".into(), branch.clone());
    }
    drop(branch);
    assert_eq!(cc::collect(), 2);
    assert_eq!(Cc::strong_count(&leaf), 1);
}

#[test]
fn garbage_is_bounded_by_the_pacing() {
    let drops: Rc<Cell<usize>> = Rc::default();
    cc::set_pacing(Pacing { suspect_bytes: 4096, slice_nodes: 64, allocations_per_slice: 4 });
    let rounds = if cfg!(miri) { 200 } else { 20_000 };
    let mut most = 0;
    for made in 0..rounds {
        let (a, b) = (node(&drops), node(&drops));
        link(&a, &b);
        link(&b, &a);
        most = most.max(2 * (made + 1) - drops.get());
    }
    assert!(cfg!(miri) || most < 1000, "{most} nodes of garbage");
    assert!(cc::counts().longest_slice_traced < 500, "{:?}", cc::counts());
    cc::collect();
    assert_eq!(drops.get(), 2 * rounds);
}

#[test]
fn a_thread_that_ends_frees_its_cycles() {
    let dropped = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    #[derive(Trace)]
    struct Counted {
        own: RefCell<Option<Cc<Counted>>>,
        #[trace(skip)]
        dropped: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let counter = dropped.clone();
    std::thread::spawn(move || {
        let it = Cc::new(Counted { own: RefCell::default(), dropped: counter });
        *it.own.borrow_mut() = Some(it.clone());
    })
    .join()
    .expect("the thread ends");
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 1);
}

mod generated {
    use super::cc_program::{Action, Program};
    use super::*;
    use proptest::prelude::*;

    fn action() -> impl Strategy<Value = Action> {
        use Action::*;
        prop_oneof![
            6 => Just(Make),
            3 => any::<u8>().prop_map(|handle| Clone { handle }),
            5 => any::<u8>().prop_map(|handle| Drop { handle }),
            6 => any::<(u8, u8)>().prop_map(|(from, to)| Link { from, to }),
            3 => any::<(u8, u8)>().prop_map(|(from, to)| Store { from, to }),
            4 => any::<(u8, u8)>().prop_map(|(from, link)| Take { from, link }),
            3 => any::<(u8, u8)>().prop_map(|(from, link)| Cut { from, link }),
            2 => any::<(u8, u8)>().prop_map(|(from, to)| Swap { from, to }),
            1 => any::<u8>().prop_map(|handle| Weak { handle }),
            2 => any::<u8>().prop_map(|weak| Upgrade { weak }),
            5 => any::<u8>().prop_map(|nodes| Step { nodes: nodes % 24 }),
            1 => Just(Collect),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 2 } else { 400 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn nothing_reachable_is_dropped_and_all_else_is(
            actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 30 } else { 400 }),
            suspect_bytes in 1usize..2000,
        ) {
            cc::set_pacing(Pacing { suspect_bytes, slice_nodes: 16, allocations_per_slice: 2 });
            let mut program = Program::default();
            for &action in &actions {
                program.act(action);
                program.check(false);
            }
            program.end();
        }
    }
}
