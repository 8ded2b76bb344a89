//! Programs in `rules/`: a line with `# expect: RULE` has that finding, every other line has none.

#[path = "../../../tests/expected/programs.rs"]
mod programs;

use std::path::Path;

#[test]
fn programs_have_the_findings_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    programs::assert_folder(&folder, "#", |path, source| {
        heapwise_lang_python::lower(path, &heapwise_lang_python::Modules::default(), source)
    });
}
