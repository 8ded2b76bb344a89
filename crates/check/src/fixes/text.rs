//! Small readings of source text: names, and calls with their arguments.

/// A call as it is written.
pub struct Call<'a> {
    pub name: &'a str,
    pub arguments: Vec<Argument<'a>>,
    /// After its closing parenthesis.
    pub end: u32,
}

pub struct Argument<'a> {
    pub text: &'a str,
    pub start: u32,
}

impl Argument<'_> {
    pub fn end(&self) -> u32 {
        self.start + self.text.len() as u32
    }
}

impl<'a> Call<'a> {
    /// Reads `name(a, b)` at the beginning of a text that stands at `offset`.
    pub fn read(text: &'a str, offset: u32) -> Option<Call<'a>> {
        let open = text.find('(')?;
        let name = text[..open].trim_end();
        if !name.split("::").all(is_name) {
            return None;
        }
        let mut arguments = Vec::new();
        let mut depth = 0usize;
        let mut from = open + 1;
        let mut quote = None;
        let mut bytes = text.bytes().enumerate().skip(open);
        while let Some((at, byte)) = bytes.next() {
            match (quote, byte) {
                (Some(_), b'\\') => {
                    bytes.next();
                }
                (Some(it), _) if it == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'(' | b'[' | b'{') => depth += 1,
                (None, b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
                (None, b'/') if text[at..].starts_with("//") || text[at..].starts_with("/*") => return None,
                _ => {}
            }
            let is_end = depth == 0;
            if quote.is_none() && (is_end || depth == 1 && byte == b',') {
                let raw = &text[from..at];
                let lead = raw.len() - raw.trim_start().len();
                if !raw.trim().is_empty() {
                    arguments.push(Argument { text: raw.trim(), start: offset + (from + lead) as u32 });
                }
                from = at + 1;
            }
            if is_end {
                return Some(Call { name, arguments, end: offset + at as u32 + 1 });
            }
        }
        None
    }
}

/// An identifier.
pub fn is_name(text: &str) -> bool {
    let is_part = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    text.bytes().all(is_part) && text.bytes().next().is_some_and(|it| !it.is_ascii_digit())
}

/// A variable or member: to read it twice is to read it once.
pub fn is_place(text: &str) -> bool {
    !text.is_empty() && text.replace("->", ".").split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read() {
        let call = Call::read("std::f (a, g(b, c), \"x,)\") + 1", 10).unwrap();
        let arguments: Vec<_> = call.arguments.iter().map(|it| (it.text, it.start)).collect();
        assert_eq!((call.name, call.end), ("std::f", 36));
        assert_eq!(arguments, [("a", 18), ("g(b, c)", 21), ("\"x,)\"", 30)]);
        assert!(Call::read("f()", 0).unwrap().arguments.is_empty());
        assert!(Call::read("f(a", 0).is_none());
        assert!(Call::read("(f)(a)", 0).is_none());
        assert!(is_place("a->b.c") && !is_place("f()") && !is_place("a->"));
    }
}
