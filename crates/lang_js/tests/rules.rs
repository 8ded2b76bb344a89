//! Programs in `rules/`: a line with `// expect: RULE` has that finding, every other line has none.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn programs_have_the_findings_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut programs: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder is there").flatten().map(|it| it.path()).collect();
    programs.sort();
    let mut wrong = Vec::new();
    for program in programs {
        let source = std::fs::read_to_string(&program).expect("readable");
        let name = program.file_stem().expect("a file").to_string_lossy().into_owned();
        let path = program.file_name().expect("a file").to_string_lossy().into_owned();
        let module = heapwise_lang_js::lower(&path, source.as_bytes());
        assert_eq!(heapwise_check::verify::verify(&module), Vec::<String>::new(), "{name}");
        let found: BTreeSet<(usize, &str)> = heapwise_check::managed::check(&[module])
            .iter()
            .map(|it| (1 + source[..it.at.span.start as usize].matches('\n').count(), it.rule.name()))
            .collect();
        let expected: BTreeSet<(usize, &str)> = source
            .lines()
            .enumerate()
            .filter_map(|(at, line)| Some((at + 1, line.split_once("// expect: ")?.1.trim())))
            .collect();
        let missed: Vec<_> = expected.difference(&found).collect();
        let too_much: Vec<_> = found.difference(&expected).collect();
        if !missed.is_empty() || !too_much.is_empty() {
            wrong.push(format!("{name}: missed {missed:?}, too much {too_much:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
