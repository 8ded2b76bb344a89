//! The one sanitizer for text that comes from programs: names, paths, source lines, arguments, notes.
//!
//! Symbol names and file names hold whatever bytes their author liked. Written raw to a terminal or
//! a log they move the cursor, retitle the window, reorder what is read, or forge a second line.
//! Everything this crate writes therefore passes here first; the escaping a format needs besides
//! (XML, JSON, `%0A`) comes after.
//!
//! Invariant: the result holds no control character (C0, DEL, C1), no line or paragraph separator,
//! and nothing that is invisible or changes the direction of text; it has at most the given number
//! of characters of input and, where that was not enough, ends in `…`.
//! Cost: as much as what is kept, however long the input. A backslash in the input stays as it is,
//! so the result is for reading, not for decoding.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a name that are shown unless a caller says otherwise.
pub const MAX_CHARS: usize = 512;

/// A tab in a source line is shown as spaces up to the next multiple of this.
const TAB_STOP: usize = 4;

/// `text` on one line and harmless, at most [`MAX_CHARS`] characters of it.
pub fn clean(text: &str) -> Cow<'_, str> {
    clean_to(text, MAX_CHARS)
}

/// `text` on one line and harmless, at most `max` characters of it, then `…`.
pub fn clean_to(text: &str, max: usize) -> Cow<'_, str> {
    for (seen, (at, c)) in text.char_indices().take(max.saturating_add(1)).enumerate() {
        if is_hostile(c) || seen == max {
            return Cow::Owned(rewrite(text, at, max - seen));
        }
    }
    Cow::Borrowed(text)
}

/// A source line with tabs widened, otherwise as [`clean_to`].
pub fn source_line(text: &str, max: usize) -> String {
    let mut wide = String::new();
    let mut column = 0;
    for c in text.chars().take(max.saturating_add(1)) {
        if c == '\t' {
            let spaces = TAB_STOP - column % TAB_STOP;
            wide.extend(std::iter::repeat_n(' ', spaces));
            column += spaces;
        } else {
            wide.push(c);
            column += 1;
        }
    }
    clean_to(wide.trim_end_matches(['\r', '\n']), max).into_owned()
}

/// How many characters `source_line` needs for the part of `text` before byte `column - 1`.
pub fn columns_before(text: &str, column: u32) -> usize {
    let mut end = (column.saturating_sub(1) as usize).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    source_line(&text[..end], usize::MAX - 1).chars().count()
}

/// Whether a character must not reach a terminal or a log as it is.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Copies up to byte `from`, then at most `max` characters with escapes.
fn rewrite(text: &str, from: usize, max: usize) -> String {
    let mut out = String::with_capacity(from + max.min(text.len() - from) + 8);
    out.push_str(&text[..from]);
    for (seen, c) in text[from..].chars().enumerate() {
        if seen == max {
            out.push('…');
            break;
        }
        push_visible(&mut out, c);
    }
    out
}

fn push_visible(out: &mut String, c: char) {
    let written = match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if !is_hostile(c) => out.write_char(c),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
    written.expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_borrowed() {
        assert!(matches!(clean("operator new(unsigned long) ünïcode 🦀"), Cow::Borrowed(_)));
    }

    #[test]
    fn hostile_characters_become_visible() {
        assert_eq!(clean("a\x1b]0;x\x07b"), "a\\x1b]0;x\\x07b");
        assert_eq!(clean("x\u{202e}y\u{200b}z\u{9b}"), "x\\u{202e}y\\u{200b}z\\u{9b}");
        assert_eq!(clean("one\ntwo\r\tthree\u{7f}"), "one\\ntwo\\r\\tthree\\x7f");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(clean_to("äöü", 3), "äöü");
        assert_eq!(clean_to("äöüß", 3), "äöü…");
        assert_eq!(clean_to("\n\n\n", 2), "\\n\\n…");
        assert_eq!(clean(&"x".repeat(1 << 20)).chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn nothing_hostile_is_left_of_any_character() {
        for c in (0..=0x10ffff).filter_map(char::from_u32) {
            assert!(!clean(c.encode_utf8(&mut [0; 4])).chars().any(is_hostile), "{c:?}");
        }
    }

    #[test]
    fn source_lines_widen_tabs_and_columns_follow() {
        assert_eq!(source_line("\tif (x)\r\n", 80), "    if (x)");
        assert_eq!(columns_before("\tif (x)", 2), 4);
        assert_eq!(columns_before("ä = 1", 4), 2);
        assert_eq!(columns_before("short", 4000), 5);
    }
}
