//! C++ names as people write them: `std::string`, and no default allocator, comparison or hash.
//!
//! For reading in a terminal only; the other formats keep the whole name.

/// Template arguments that are defaults wherever they stand second or later.
const DEFAULTS: [&str; 7] = [
    ", std::allocator<",
    ", std::less<",
    ", std::hash<",
    ", std::equal_to<",
    ", std::char_traits<",
    ", std::default_delete<",
    ", std::pmr::polymorphic_allocator<",
];

/// Longer names are left alone: shortening takes a pass per template argument.
const LONGEST: usize = 4096;

/// `name` without what the compiler added to it.
pub fn short(name: &str) -> String {
    if name.len() > LONGEST || !name.contains("std::") {
        return name.to_owned();
    }
    let mut name = name.replace("std::__cxx11::", "std::").replace("std::__1::", "std::");
    for default in DEFAULTS {
        let mut from = 0;
        while let Some(at) = name[from..].find(default).map(|at| from + at) {
            match closing(&name[at + default.len()..]) {
                Some(length) => name.replace_range(at..at + default.len() + length, ""),
                None => from = at + default.len(),
            }
        }
    }
    let mut tight = name.replace(" >", ">");
    for (long, short) in [
        ("basic_string<char>", "string"),
        ("basic_string_view<char>", "string_view"),
        ("string::basic_string", "string::string"),
    ] {
        tight = tight.replace(long, short);
    }
    tight
}

/// Bytes up to and with the `>` that closes what is open at the start.
fn closing(rest: &str) -> Option<usize> {
    let mut open = 1usize;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'<' => open += 1,
            b'>' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn names_as_people_write_them() {
        for (long, expected) in [
            ("main", "main"),
            (
                "Session::Session(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)",
                "Session::Session(std::string)",
            ),
            (
                "std::map<int, A*, std::less<int>, std::allocator<std::pair<int const, A*> > >::operator[](int&&)",
                "std::map<int, A*>::operator[](int&&)",
            ),
            (
                "std::unique_ptr<A, std::default_delete<A> >::~unique_ptr()",
                "std::unique_ptr<A>::~unique_ptr()",
            ),
            ("f(std::vector<int, std::allocator<", "f(std::vector<int, std::allocator<"),
        ] {
            assert_eq!(short(long), expected);
        }
    }
}
