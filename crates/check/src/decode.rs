//! Bytes to text, before any parser sees it: what front ends share.
//!
//! Where possible a byte of the file stays a byte of the text, so that spans are offsets in the file: invalid
//! UTF-8 (Latin-1 and other 8-bit encodings) is replaced byte by byte, NULs by blanks. Only UTF-16 changes
//! offsets.

use std::borrow::Cow;

/// A decoded source.
pub struct Text<'a> {
    pub text: Cow<'a, str>,
    /// What was changed, in plain sentences.
    pub notes: Vec<&'static str>,
}

/// Decodes a source: UTF-8 with or without byte order mark, UTF-16 with one, 8-bit encodings approximately.
pub fn decode(source: &[u8]) -> Text<'_> {
    let mut notes = Vec::new();
    let text = match source {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes, &mut notes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes, &mut notes),
        _ => match std::str::from_utf8(source) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                notes.push("not UTF-8: bytes of another encoding are read as letters");
                Cow::Owned(eight_bit(source))
            }
        },
    };
    if memchr::memchr(0, text.as_bytes()).is_none() {
        return Text { text, notes };
    }
    notes.push("NUL characters are read as blanks");
    Text { text: Cow::Owned(text.replace('\0', " ")), notes }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, notes: &mut Vec<&'static str>) -> Cow<'static, str> {
    notes.push("UTF-16: columns count in the text converted to UTF-8");
    let units = bytes.chunks_exact(2).map(|it| unit([it[0], it[1]]));
    Cow::Owned(char::decode_utf16(units).map(|it| it.unwrap_or('\u{fffd}')).collect())
}

/// Valid UTF-8 is kept, any other byte becomes one letter.
fn eight_bit(source: &[u8]) -> String {
    let mut text = String::with_capacity(source.len());
    for chunk in source.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| 'x'));
    }
    text
}
