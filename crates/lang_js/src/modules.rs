//! Names of modules, and what specifiers in imports mean.

/// The name by which others know a module: its path without extension, `dir` for `dir/index.js`.
pub fn module_name(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        push_part(&mut parts, part);
    }
    named(parts)
}

/// The module that a specifier in an import means: a path, or the name of a package. `node:fs` is `fs`, and
/// `fs/promises` is `fs.promises`.
pub fn resolve(path: &str, specifier: &str) -> String {
    if !is_relative(specifier) {
        let name = specifier.strip_prefix("node:").unwrap_or(specifier);
        return match name.split_once('/') {
            Some((module, "promises")) => format!("{module}.promises"),
            _ => name.to_string(),
        };
    }
    let mut parts: Vec<&str> = Vec::new();
    let folder = path.rsplit_once(['/', '\\']).map_or("", |it| it.0);
    for part in folder.split(['/', '\\']).chain(specifier.split('/')) {
        push_part(&mut parts, part);
    }
    named(parts)
}

/// Whether a specifier means a file of the program.
pub fn is_relative(specifier: &str) -> bool {
    specifier.starts_with('.') || specifier.starts_with('/')
}

fn push_part<'a>(parts: &mut Vec<&'a str>, part: &'a str) {
    match part {
        "" | "." => {}
        ".." => {
            parts.pop();
        }
        part => parts.push(part),
    }
}

fn named(mut parts: Vec<&str>) -> String {
    let Some(last) = parts.pop() else { return "index".to_string() };
    let stem = match last.rsplit_once('.') {
        Some((stem, "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" | "json")) => stem,
        _ => last,
    };
    if stem != "index" || parts.is_empty() {
        parts.push(stem);
    }
    parts.join("/")
}
