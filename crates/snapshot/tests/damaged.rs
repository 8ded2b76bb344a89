//! Snapshots by hand: what is read of them, and what is said of damaged ones.

use heapwise_model::{EdgeKind, NodeId, ObjectHeap, ObjectKind};
use heapwise_snapshot::{SnapshotError, distances, read};
use proptest::prelude::*;

/// A root with a global object that holds a map of one string, and a detached part of a document.
const SMALL: &str = r#"{"snapshot":{"meta":{"node_fields":["type","name","id","self_size","edge_count","detachedness"],
"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic"],"string","number","number","number","number"],
"edge_fields":["type","name_or_index","to_node"],
"edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],
"location_fields":["object_index","script_id","line","column"]},"node_count":6,"edge_count":6,"trace_function_count":0},
"nodes":[9,0,1,0,2,0
,3,1,3,24,2,0
,3,2,5,32,1,0
,1,0,7,100,1,0
,2,3,9,16,0,0
,8,4,2,50,0,2],
"edges":[5,1,6
,1,1,30
,2,5,12
,6,5,24
,3,6,18
,3,7,24
],
"trace_function_infos":[],"trace_tree":[],"samples":[],
"locations":[12,7,0,4],
"strings":["","global","Map","one \ud83d\ude00","<div>","cache","table","5"]}
"#;

fn heap(text: &str) -> Result<ObjectHeap, SnapshotError> {
    read(text.as_bytes(), &mut |_| {})
}

#[test]
fn a_small_one() {
    let heap = heap(SMALL).unwrap();
    assert_eq!(heap.graph.len(), 6);
    // The table is part of the map.
    assert_eq!(heap.graph.size, [0, 24, 132, 0, 16, 50]);
    assert_eq!(heap.kind[2], ObjectKind::Object);
    assert_eq!((heap.name(NodeId(1)), heap.name(NodeId(4))), ("global", "one 😀"));
    assert_eq!(heap.graph.row(NodeId(1))[1].kind(), EdgeKind::Weak);
    assert_eq!(heap.graph.kept(NodeId(1)).collect::<Vec<_>>(), [NodeId(2)]);
    assert!(heap.detached.has(5) && heap.detached.count() == 1);
    assert_eq!(distances(&heap)[..5], [100_000_000, 1, 2, 3, 4]);
    assert_eq!((heap.places[0].node, heap.places[0].line, heap.places[0].column), (NodeId(2), 1, 5));
}

/// A snapshot that ends within its objects is none; one that ends later has what could be read, and a note.
#[test]
fn cut_anywhere() {
    let objects = SMALL.find("],\n\"trace_function_infos\"").unwrap() + 1;
    for end in 0..SMALL.trim_end().len() {
        match heap(&SMALL[..end]) {
            Ok(it) => assert!(end >= objects && !it.notes.is_empty(), "{end}"),
            Err(SnapshotError::Cut { at }) => assert!(at <= end as u64, "{end}"),
            Err(SnapshotError::NotASnapshot { what }) => assert!(end == 0, "{end}: {what}"),
            Err(other) => panic!("{end}: {other}"),
        }
    }
}

#[test]
fn what_cannot_be() {
    let changed = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        heap(&SMALL.replace(from, to)).map(|it| it.graph.len()).map_err(|it| it.to_string())
    };
    // The header's counts are not trusted.
    assert_eq!(changed("\"node_count\":6", "\"node_count\":99999999999"), Ok(6));
    assert_eq!(changed("\"node_count\":6", "\"node_count\":0"), Ok(6));
    assert!(changed(",1,1,30", ",1,1,36").unwrap_err().contains("points to no object"));
    assert!(changed(",1,1,30", ",1,1,31").unwrap_err().contains("points to no object"));
    assert!(changed("1,0,7,100,1,0", "1,0,7,100,0,0").unwrap_err().contains("references, where"));
    assert!(changed("1,0,7,100,1,0", "1,0,7,100,9,0").unwrap_err().contains("references, where"));
    assert!(changed("3,1,3,24,2,0", "3,1,3,24,2,0,1").unwrap_err().contains("within a record"));
    assert!(changed("3,1,3,24,2,0", "3,1,-3,24,2,0").unwrap_err().contains("expected a number"));
    assert!(changed("3,1,3,24,2,0", "3,1,184467440737095516150,24,2,0").unwrap_err().contains("too long"));
    assert!(changed("\"self_size\"", "\"weight\"").unwrap_err().contains("no node field `self_size`"));
    assert!(changed("\"one \\ud83d", "\"\\ud83d \\x").unwrap_err().contains("wrong escape"));
    assert!(heap("{}").is_err() && heap("[]").is_err() && heap("").is_err());
    // Names beyond the strings, kinds beyond the known ones.
    let odd = SMALL.replace("2,3,9,16,0,0", "77,4000000000,9,16,0,0");
    let odd = heap(&odd).unwrap();
    assert_eq!((odd.name(NodeId(4)), odd.kind[4]), ("", ObjectKind::Other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Whatever bytes change, there is an answer.
    #[test]
    fn any_change(changes in prop::collection::vec((0..SMALL.len(), prop::sample::select(b"0123456789,[]{}\":x\\ ".to_vec())), 1..4)) {
        let mut bytes = SMALL.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(heap) = read(&bytes[..], &mut |_| {}) {
            distances(&heap);
        }
    }
}
