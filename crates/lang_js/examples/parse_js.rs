//! What `oxc_parser` with `oxc_semantic` alone costs on the JavaScript files under a folder: the floor of any check.

use std::path::Path;

fn main() {
    let folder = std::env::args().nth(1).expect("parse_js FOLDER");
    parse(Path::new(&folder), &mut oxc_allocator::Allocator::default());
}

fn parse(path: &Path, allocator: &mut oxc_allocator::Allocator) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("the folder can be read");
        entries.flatten().for_each(|it| parse(&it.path(), allocator));
    } else if path.extension().is_some_and(|it| it == "js" || it == "mjs" || it == "ts")
        && let Ok(text) = std::fs::read_to_string(path)
    {
        allocator.reset();
        let kind = oxc_span::SourceType::from_path(path).unwrap_or_default();
        let parsed = oxc_parser::Parser::new(allocator, &text, kind).parse();
        std::hint::black_box(oxc_semantic::SemanticBuilder::new().build(&parsed.program));
    }
}
