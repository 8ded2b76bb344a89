//! Programs that say in comments what `check` has to find: a line with `expect: RULE` behind the language's sign of
//! a comment has that finding, every other line has none. The test of each front end in managed languages holds them.

use heapwise_check::ir::Module;
use std::collections::BTreeSet;
use std::path::Path;

/// Checks each file of `folder` alone, and panics with all differences.
pub fn assert_folder(folder: &Path, comment: &str, lower: impl Fn(&str, &[u8]) -> Module) {
    let mut programs: Vec<_> =
        std::fs::read_dir(folder).expect("the folder is there").flatten().map(|it| it.path()).collect();
    programs.sort();
    assert!(!programs.is_empty(), "{} has programs", folder.display());
    let marker = format!("{comment} expect: ");
    let mut wrong = Vec::new();
    for program in programs {
        let source = std::fs::read_to_string(&program).expect("readable");
        let name = program.file_name().expect("a file").to_string_lossy().into_owned();
        let module = lower(&name, source.as_bytes());
        assert_eq!(heapwise_check::verify::verify(&module), Vec::<String>::new(), "{name}");
        let found: BTreeSet<(usize, &str)> = heapwise_check::managed::check(&[module])
            .iter()
            .map(|it| (1 + source[..it.at.span.start as usize].matches('\n').count(), it.rule.name()))
            .collect();
        let expected: BTreeSet<(usize, &str)> = source
            .lines()
            .enumerate()
            .filter_map(|(at, line)| Some((at + 1, line.split_once(&marker)?.1.trim())))
            .collect();
        let missed: Vec<_> = expected.difference(&found).collect();
        let too_much: Vec<_> = found.difference(&expected).collect();
        if !missed.is_empty() || !too_much.is_empty() {
            wrong.push(format!("{name}: missed {missed:?}, too much {too_much:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
