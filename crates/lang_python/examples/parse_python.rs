//! What `ruff_python_parser` alone costs on the Python files under a folder: the floor of any check.

use std::path::Path;

fn main() {
    let folder = std::env::args().nth(1).expect("parse_python FOLDER");
    parse(Path::new(&folder));
}

fn parse(path: &Path) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("the folder can be read");
        entries.flatten().for_each(|it| parse(&it.path()));
    } else if path.extension().is_some_and(|it| it == "py")
        && let Ok(text) = std::fs::read_to_string(path)
    {
        let kind = ruff_python_ast::PySourceType::Python;
        std::hint::black_box(ruff_python_parser::parse_unchecked_source(&text, kind));
    }
}
