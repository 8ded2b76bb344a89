//! Recordings that once did harm, and the fuzzer's seeds: read and analyzed as the fuzzer does it.

use heapwise_run::Observation;
use std::path::Path;

fn exercise(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .expect("in the repository")
        .map(|it| it.expect("readable").path())
        .collect();
    entries.sort();
    for path in &entries {
        eprintln!("{}", path.display());
        let seen = Observation::exercise(&std::fs::read(path).expect("readable"));
        eprintln!(
            "{:?}",
            seen.map(|it| (it.0.stacks.len(), it.0.ledger.totals(), it.0.notes.last().cloned()))
        );
    }
    entries.len()
}

#[test]
fn harmful_recordings() {
    assert!(exercise("tests/crashes/recording") > 0);
}

#[test]
fn seeds() {
    assert!(exercise("../../fuzz/seeds/recording") > 0);
    let leaks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/recording/leaks-blocks");
    let (observation, analysis) =
        Observation::exercise(&std::fs::read(leaks).expect("readable")).expect("a recording");
    assert!(observation.graph.is_some() && analysis.leaks.is_some_and(|it| it.definite.blocks > 0));
}
