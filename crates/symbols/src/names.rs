//! Function names as people write them, and source paths made absolute. All results are bounded.

use heapwise_model::Language;
use std::fmt::{self, Write};

/// Longest name or path that is handed out, in bytes.
pub(crate) const MAX_NAME: usize = 4 << 10;
/// Longer mangled names are shown as they are, cut: demangling them costs more than it tells.
const MAX_MANGLED: usize = 8 << 10;

/// Writes at most [`MAX_NAME`] bytes; the error then stops the demangler.
struct Bounded {
    text: String,
    is_cut: bool,
    /// Empty writes are counted too, so that a name that expands to nothing ends as well.
    writes: usize,
}

impl Bounded {
    fn new() -> Bounded {
        Bounded { text: String::new(), is_cut: false, writes: 0 }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.writes += 1;
        if self.is_cut || self.writes > 4 * MAX_NAME || self.text.len() + text.len() > MAX_NAME {
            self.text.push_str(cut(text, MAX_NAME.saturating_sub(self.text.len())));
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// A symbol's name as its language writes it. Rust's hash is left out. Names of no known scheme stay as they are.
pub(crate) fn demangle(name: &str) -> String {
    demangled(name).unwrap_or_else(|| shorten(name))
}

fn demangled(name: &str) -> Option<String> {
    if name.len() > MAX_MANGLED || !name.starts_with(['_', '?', 'Z', 'R']) {
        return None;
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let mut out = Bounded::new();
        let whole = write!(out, "{rust:#}");
        return finish(out, whole);
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    let symbol = cpp_demangle::BorrowedSymbol::with_tail(name.as_bytes()).ok().map(|(symbol, _)| symbol)?;
    let mut out = Bounded::new();
    let mut options = cpp_demangle::DemangleOptions::new();
    if is_templated_constructor(name) {
        options = options.no_params();
    }
    let whole = symbol.structured_demangle(&mut out, &options);
    finish(out, whole)
}

/// `C1I..E`: such a name has no return type, but the demangler takes its first parameter for one and drops it.
/// A name that only looks so loses its parameters, nothing else.
fn is_templated_constructor(name: &str) -> bool {
    name.as_bytes()
        .windows(3)
        .any(|part| part[0] == b'C' && matches!(part[1], b'1'..=b'5') && part[2] == b'I')
}

fn finish(mut out: Bounded, whole: fmt::Result) -> Option<String> {
    match whole {
        Ok(()) if !out.text.is_empty() => Some(out.text),
        Err(_) if out.is_cut && !out.text.is_empty() => {
            out.text.push('…');
            Some(out.text)
        }
        _ => None,
    }
}

/// At most [`MAX_NAME`] bytes, with an ellipsis where something was cut.
pub(crate) fn shorten(text: &str) -> String {
    if text.len() <= MAX_NAME {
        return text.to_owned();
    }
    format!("{}…", cut(text, MAX_NAME))
}

/// The longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Language of a mangled name.
pub(crate) fn language_of_symbol(name: &str) -> Option<Language> {
    if rustc_demangle::try_demangle(name).is_ok() {
        Some(Language::Rust)
    } else if name.starts_with("_Z") {
        Some(Language::Cpp)
    } else {
        None
    }
}

/// Language of a source file by its extension.
pub(crate) fn language_of_path(path: &str) -> Option<Language> {
    match path.rsplit_once('.')?.1 {
        "c" => Some(Language::C),
        "cc" | "cpp" | "cxx" | "c++" | "C" | "hpp" | "hh" | "hxx" | "ipp" | "tcc" => Some(Language::Cpp),
        "rs" => Some(Language::Rust),
        "s" | "S" | "asm" => Some(Language::Native),
        _ => None,
    }
}

/// Language of a compilation unit.
pub(crate) fn language_of_unit(language: gimli::DwLang) -> Language {
    match language {
        gimli::DW_LANG_C
        | gimli::DW_LANG_C89
        | gimli::DW_LANG_C99
        | gimli::DW_LANG_C11
        | gimli::DW_LANG_C17 => Language::C,
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20 => Language::Cpp,
        gimli::DW_LANG_Rust => Language::Rust,
        _ => Language::Native,
    }
}

/// Joins what DWARF keeps apart (compilation directory, directory, file) and resolves `.` and `..` by name only.
pub(crate) fn join(parts: &[&str]) -> String {
    let start = parts.iter().rposition(|part| part.starts_with('/'));
    let is_absolute = start.is_some();
    let mut names: Vec<&str> = Vec::new();
    for name in parts[start.unwrap_or(0)..].iter().flat_map(|part| part.split('/')) {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            // Above the root is the root.
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    let path = names.join("/");
    shorten(&if is_absolute { format!("/{path}") } else { path })
}

/// Sources that belong to a compiler's runtime, not to the user.
pub(crate) fn is_runtime_source(path: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "/rustc/",
        "/rust/deps/",
        "/usr/include/",
        "/usr/lib/",
        "/usr/src/",
        "/usr/local/include/c++/",
        "/usr/local/lib/gcc/",
        "/usr/local/lib/clang/",
    ];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix))
        || path.contains("/rustlib/src/rust/library/")
        || path.contains("/include/c++/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_normalized() {
        assert_eq!(join(&["/a/b", "../c", "x.c"]), "/a/c/x.c");
        assert_eq!(join(&["/a/b", "/d", "./x.c"]), "/d/x.c");
        assert_eq!(join(&["/a", "/d/", "/e/../x.c"]), "/x.c");
        assert_eq!(join(&["/a", "../../../x.c"]), "/x.c");
        assert_eq!(join(&["a", "../../x.c"]), "../x.c");
        assert_eq!(join(&[]), "");
    }

    #[test]
    fn names_are_demangled_and_bounded() {
        assert_eq!(demangle("main"), "main");
        assert_eq!(demangle("_ZN3foo3barEi"), "foo::bar(int)");
        assert_eq!(demangle("_ZN3foo3barEi.cold"), "foo::bar(int) [clone .cold]");
        assert_eq!(demangle("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert!(demangle(&"x".repeat(100_000)).len() <= MAX_NAME + 3);
        assert!(demangle(&format!("_ZN{}E", "4abcd".repeat(1500))).len() <= MAX_NAME + 3);
        // Each substitution doubles: 2^40 characters if nothing stopped it.
        let doubling = (0..40).fold(String::from("_Z1fSt4pairIiiE"), |name, n: u64| {
            let seq = if n == 0 { "S_".to_owned() } else { format!("S{}_", radix36(n - 1)) };
            name + &format!("St4pairI{seq}{seq}E")
        });
        assert!(demangle(&doubling).len() <= MAX_NAME + 3);
    }

    #[test]
    fn templated_constructors_lose_their_parameters() {
        for kind in ["C1", "C2", "C4"] {
            let name = format!("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE{kind}IS3_EEPKcRKS3_");
            assert!(
                demangle(&name).ends_with("::basic_string<std::allocator<char> >"),
                "{kind}: {}",
                demangle(&name)
            );
        }
        assert_eq!(demangle("_ZN3FooC1Ei"), "Foo::Foo(int)");
    }

    fn radix36(mut n: u64) -> String {
        let mut out = String::new();
        loop {
            out.insert(0, char::from_digit((n % 36) as u32, 36).expect("digit").to_ascii_uppercase());
            n /= 36;
            if n == 0 {
                return out;
            }
        }
    }
}
