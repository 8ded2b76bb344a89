//! Hand-made memory, whole and damaged: what is read of it is told, what cannot be is left out, nothing runs for ever.

mod image;

use heapwise_cpython::{Error, Interpreter, Version, read};
use heapwise_heap::objects::{Walked, analyze, compare};
use heapwise_model::{EdgeKind, NodeId, ObjectHeap, ObjectKind, RootKind};
use image::{BASE, Image};
use proptest::prelude::*;

fn node(heap: &ObjectHeap, addr: u64) -> NodeId {
    NodeId(heap.graph.addr.binary_search(&addr).expect("an object") as u32)
}

fn labels(heap: &ObjectHeap, node: NodeId) -> Vec<(EdgeKind, String, String)> {
    let label = |kind, label: u32| match kind {
        EdgeKind::Element | EdgeKind::Hidden => label.to_string(),
        _ => heap.texts.get(label).to_owned(),
    };
    heap.references(node)
        .map(|(kind, text, to)| (kind, label(kind, text), heap.name(to).to_owned()))
        .collect()
}

fn reached(heap: &ObjectHeap) -> Vec<bool> {
    let mut reached = vec![false; heap.graph.len()];
    let mut open: Vec<NodeId> = heap.graph.roots.iter().map(|it| it.target).collect();
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut reached[node.index()], true) {
            open.extend(heap.graph.kept(node));
        }
    }
    reached
}

#[test]
fn a_whole_one() {
    let image = Image::new();
    let heap = read(&image, &image.interpreter(), &[]).expect("a runtime").heap;
    assert!(heap.notes.is_empty(), "{:?}", heap.notes);
    assert!(heap.graph.addr.is_sorted());
    let cache = node(&heap, image.cache);
    let text = |it: &str| it.to_owned();
    let key = (EdgeKind::Internal, text("(key)"));
    assert_eq!(
        labels(&heap, cache),
        [
            (EdgeKind::Key, text("a"), text("int")),
            (key.0, key.1.clone(), text("a")),
            (EdgeKind::Key, text("b"), text("int")),
            (key.0, key.1.clone(), text("b")),
            (EdgeKind::Element, text("2"), text("c")),
            (key.0, key.1, text("int")),
        ]
    );
    assert_eq!(heap.kind[cache.index()], ObjectKind::Object);
    // Keys with one reference are counted with their dictionary, and so is the collector's head.
    assert_eq!(heap.graph.size[cache.index()], 16 + 48 + 32 + 8 + 5 * 24);
    let module = node(&heap, image.module);
    assert_eq!(heap.name(module), "app");
    let attributes = heap.internal(module, &["__dict__"]).expect("a dictionary");
    assert_eq!(heap.kind[attributes.index()], ObjectKind::Attributes);
    assert_eq!(labels(&heap, attributes)[0], (EdgeKind::Property, text("CACHE"), text("dict")));
    let globals: Vec<NodeId> =
        heap.graph.roots.iter().filter(|it| it.kind == RootKind::Global).map(|it| it.target).collect();
    assert_eq!(globals, [module]);
    let reached = reached(&heap);
    let lost: Vec<u64> =
        (0..heap.graph.len()).filter(|it| !reached[*it]).map(|it| heap.graph.addr[it]).collect();
    assert_eq!(lost, image.garbage);
    let c_code: Vec<NodeId> = heap.graph.kept(NodeId(1)).collect();
    assert!(c_code.contains(&node(&heap, image.held)));
}

#[test]
fn what_is_no_runtime_is_refused() {
    let image = Image::new();
    let at = |runtime, version| read(&image, &Interpreter { runtime, version }, &[]).map(|_| ());
    for version in [Version::new(2, 7), Version::new(3, 7), Version::new(3, 14)] {
        assert_eq!(at(image.runtime, version), Err(Error::UnknownVersion { version }));
    }
    for runtime in [0, 8, BASE - 8, image.interpreter, image.cache, u64::MAX, u64::MAX - 7] {
        for minor in 8..=13 {
            let refused = at(runtime, Version::new(3, minor));
            assert!(matches!(refused, Err(Error::NotARuntime { .. })), "{runtime:#x} 3.{minor}: {refused:?}");
        }
    }
}

#[test]
fn absurd_sizes() {
    for size in [1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
        let mut image = Image::new();
        let (list, dict, text) = (image.held, image.cache, image.get(image.get(image.held + 24)));
        image.put(list + 16, size);
        image.put(image.get(dict + 32) + 24, size);
        image.put(text + 16, size);
        let heap = read(&image, &image.interpreter(), &[]).expect("a runtime").heap;
        assert!(heap.graph.edges.len() < image.bytes.len());
    }
}

#[test]
fn a_list_that_is_cut_keeps_its_beginning() {
    let mut image = Image::new();
    let links = image.get(image.interpreter + 672);
    image.put(links, 0x7777_0000);
    let heap = read(&image, &image.interpreter(), &[]).expect("a runtime").heap;
    assert!(!heap.notes.is_empty());
    assert!(heap.graph.addr.contains(&image.module));
}

/// `PROPTEST_CASES`, or a few.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    /// Words are exchanged for others, mostly addresses within the memory.
    #[test]
    fn any_damage(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0u8..6), 1..40),
    ) {
        let mut image = Image::new();
        let words = image.bytes.len() / 8;
        for (at, value, kind) in damage {
            let value = match kind {
                0 => value,
                1 => value % 1000,
                2 => u64::MAX - value % 200,
                _ => BASE + value % (words as u64) * 8,
            };
            image.put(BASE + at.index(words) as u64 * 8, value);
        }
        if let Ok(heap) = read(&image, &image.interpreter(), &[]).map(|it| it.heap) {
            prop_assert_eq!(heap.graph.first.len(), heap.graph.len() + 1);
            prop_assert_eq!(heap.graph.edges.len(), heap.graph.labels.len());
            prop_assert_eq!(*heap.graph.first.last().expect("one"), heap.graph.edges.len() as u32);
            prop_assert!(heap.graph.edges.iter().all(|it| it.target().index() < heap.graph.len()));
            prop_assert!(heap.kind.len() == heap.graph.len() && heap.name.len() == heap.graph.len());
            let walked = Walked::new(&heap);
            analyze(&walked);
            compare(&[&heap, &heap], &walked);
        }
    }
}
