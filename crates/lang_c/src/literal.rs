//! Constants as they are spelled: integers, characters and their escapes.

/// An integer constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: u64,
    pub(crate) is_unsigned: bool,
    /// `l`s of its suffix.
    pub(crate) longs: u8,
    pub(crate) is_decimal: bool,
}

/// Reads an integer; `None`: a floating-point number or no number.
pub(crate) fn number(text: &[u8]) -> Option<Number> {
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    let mut value = 0u64;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        if byte == b'\'' {
            at += 1;
            continue;
        }
        let Some(digit) = char::from(byte).to_digit(base) else { break };
        value = value.wrapping_mul(u64::from(base)).wrapping_add(u64::from(digit));
        at += 1;
    }
    let mut number = Number { value, is_unsigned: false, longs: 0, is_decimal: base == 10 };
    for &byte in &digits[at..] {
        match byte {
            b'u' | b'U' => number.is_unsigned = true,
            b'l' | b'L' => number.longs = number.longs.saturating_add(1),
            b'z' | b'Z' => number.longs = 1,
            b'i' | b'I' | b'0'..=b'9' => {}
            _ => return None,
        }
    }
    Some(number)
}

/// The value of a character constant: `'a'`, `L'\n'`, `'\x41'`.
pub(crate) fn character(text: &[u8]) -> i64 {
    let Some(open) = text.iter().position(|it| *it == b'\'') else { return 0 };
    let end = if text.len() > open + 1 && text.ends_with(b"'") { text.len() - 1 } else { text.len() };
    let body = &text[open + 1..end.max(open + 1)];
    let mut at = 0;
    let mut value = 0i64;
    let mut count = 0;
    while at < body.len() {
        let (unit, next) = escape(body, at);
        value = if open > 0 { i64::from(unit) } else { (value << 8) | i64::from(unit & 0xff) };
        count += 1;
        at = next;
    }
    if open == 0 && count == 1 { i64::from(value as i8) } else { value }
}

/// One character or escape of a literal at `at`, and where the next begins.
pub(crate) fn escape(body: &[u8], at: usize) -> (u32, usize) {
    let first = body[at];
    let Some(&second) = body.get(at + 1).filter(|_| first == b'\\') else {
        return (u32::from(first), at + 1);
    };
    let simple = |it: u8| (u32::from(it), at + 2);
    match second {
        b'n' => simple(b'\n'),
        b't' => simple(b'\t'),
        b'r' => simple(b'\r'),
        b'a' => simple(7),
        b'b' => simple(8),
        b'f' => simple(12),
        b'v' => simple(11),
        b'e' => simple(27),
        b'0'..=b'7' => digits(body, at + 1, 8, 3),
        b'x' => digits(body, at + 2, 16, usize::MAX),
        b'u' => digits(body, at + 2, 16, 4),
        b'U' => digits(body, at + 2, 16, 8),
        other => simple(other),
    }
}

fn digits(body: &[u8], from: usize, base: u32, most: usize) -> (u32, usize) {
    let mut value = 0u32;
    let mut at = from;
    while let Some(digit) = body.get(at).and_then(|it| char::from(*it).to_digit(base)) {
        if at - from >= most {
            break;
        }
        value = value.wrapping_mul(base).wrapping_add(digit);
        at += 1;
    }
    (value, at)
}
