//! Headers that are embedded: what the standard libraries of C and C++ and POSIX declare, compactly.
//!
//! They are read instead of the system's own, so that a folder of sources means the same on every machine.

/// Macros that gcc defines on x86-64 Linux.
pub(crate) const PREDEFINED: &str = include_str!("stubs/predefined.h");
pub(crate) const PREDEFINED_C: &str = "#define __STDC_VERSION__ 201710L\n";
pub(crate) const PREDEFINED_CPP: &str = "#define __cplusplus 201703L\n#define _GNU_SOURCE 1\n#define __EXCEPTIONS 1\n#define __GNUG__ 12\n#define __cpp_exceptions 199711L\n#define __cpp_rtti 199711L\n";

macro_rules! stubs {
    ($($file:literal: $($name:literal)*;)*) => {
        /// Names of headers, the file that declares them, and its text.
        const ALL: &[(&[&str], &str, &str)] = &[$((&[$($name),*], $file, include_str!($file))),*];
    };
}

include!("stubs/list.rs");

/// Files that only C++ has begin with this.
const CPP_MARK: &str = "// C++";

fn find(name: &str, is_cpp: bool) -> Option<(&'static str, &'static str)> {
    let found = ALL.iter().find(|it| it.0.contains(&name)).map(|it| (it.1, it.2));
    found.filter(|it| is_cpp || !it.1.starts_with(CPP_MARK))
}

/// Whether there is a stub of this header.
pub(crate) fn has(name: &str, is_cpp: bool) -> bool {
    find(name, is_cpp).is_some()
}

/// The path that stands for the stub of a header, which several headers may share.
pub(crate) fn path(name: &str) -> String {
    find(name, true).map_or_else(|| format!("<{name}>"), |it| format!("<{}>", it.0))
}

/// The text of a stub by its path.
pub(crate) fn text(path: &str) -> Option<&'static str> {
    let file = path.strip_prefix('<')?.strip_suffix('>')?;
    ALL.iter().find(|it| it.1 == file).map(|it| it.2)
}
