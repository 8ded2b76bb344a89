//! Jupyter notebooks: the code cells of an `.ipynb` file as one source, and where its bytes stand in the file.
//!
//! The JSON is scanned, not parsed: strings and brackets are enough to find `cells[*].source`, positions are kept,
//! and nesting costs no stack. What is no notebook has no cells.

use ruff_text_size::TextSize;

/// The code of all cells.
#[derive(Default)]
pub struct Notebook {
    pub code: String,
    /// Runs of bytes that are the same in code and file: where they begin in each. Sorted.
    runs: Vec<(u32, u32)>,
}

/// A JSON string, by the places between its quotes.
type Text = (usize, usize);

impl Notebook {
    /// Reads the cells of a notebook.
    pub fn read(json: &str) -> Notebook {
        let mut it = Notebook::default();
        let bytes = json.as_bytes();
        let mut open: Vec<u8> = Vec::new();
        let (mut at, mut key, mut last) = (0, None::<Text>, None::<Text>);
        let (mut is_in_cells, mut is_code, mut source) = (false, false, Vec::<Text>::new());
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' => {
                    let end = string_end(bytes, at);
                    let text = (at, end);
                    at = end + 1;
                    last = Some(text);
                    let names = |it: Option<Text>, name: &str| it.is_some_and(|it| &json[it.0..it.1] == name);
                    match open[..] {
                        [b'{', b'[', b'{'] if names(key, "cell_type") => is_code = names(last, "code"),
                        [b'{', b'[', b'{'] | [b'{', b'[', b'{', b'['] if names(key, "source") => {
                            source.push(text)
                        }
                        _ => {}
                    }
                }
                b':' => key = last,
                b',' if open.last() == Some(&b'{') => key = None,
                b'{' | b'[' => {
                    if open.len() == 1 {
                        is_in_cells = byte == b'[' && key.is_some_and(|it| &json[it.0..it.1] == "cells");
                    }
                    open.push(byte);
                    if byte == b'{' {
                        key = None;
                    }
                    if open.len() == 3 {
                        (is_code, source) = (false, Vec::new());
                    }
                }
                b'}' | b']' => {
                    if open[..] == [b'{', b'[', b'{'] && is_in_cells && is_code {
                        it.cell(json, &source);
                    }
                    open.pop();
                }
                _ => {}
            }
        }
        it
    }

    /// Where a byte of the code stands in the file.
    pub fn place(&self, at: TextSize) -> TextSize {
        let at = at.to_u32();
        let index = self.runs.partition_point(|it| it.0 <= at);
        match index.checked_sub(1).map(|it| self.runs[it]) {
            Some((code, file)) => TextSize::new(file + (at - code)),
            None => TextSize::new(at),
        }
    }

    fn cell(&mut self, json: &str, source: &[Text]) {
        for (start, end) in source {
            self.unescape(json, *start, *end);
        }
        if !self.code.is_empty() && !self.code.ends_with('\n') {
            self.code.push('\n');
        }
    }

    fn run(&mut self, file: usize) {
        let code = u32::try_from(self.code.len()).unwrap_or(u32::MAX);
        self.runs.push((code, u32::try_from(file).unwrap_or(u32::MAX)));
    }

    fn unescape(&mut self, json: &str, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let next = json[at..end].find('\\').map_or(end, |it| at + it);
            self.run(at);
            self.code.push_str(&json[at..next]);
            if next >= end {
                break;
            }
            self.run(next);
            let (letter, length) = escape(&json[next..end]);
            self.code.push(letter);
            at = next + length;
        }
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The character that an escape means, and the escape's length.
fn escape(text: &str) -> (char, usize) {
    match text.as_bytes().get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b' | b'f') => (' ', 2),
        Some(b'u') => match text.get(2..6).and_then(|it| u32::from_str_radix(it, 16).ok()) {
            // Halves of surrogate pairs are letters of no interest.
            Some(code) => (char::from_u32(code).unwrap_or('x'), 6),
            None => (' ', 2),
        },
        Some(it) if it.is_ascii() => (char::from(*it), 2),
        _ => (' ', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::Notebook;
    use ruff_text_size::TextSize;

    #[test]
    fn code_cells_are_joined_and_keep_their_places() {
        let json = r#"{"cells": [{"cell_type": "markdown", "source": ["no"]},
            {"source": ["a = \"x\"\n", "b = 1"], "cell_type": "code", "outputs": [{"source": "no"}]},
            {"cell_type": "code", "source": "c = 2"}], "metadata": {"cells": []}}"#;
        let notebook = Notebook::read(json);
        assert_eq!(notebook.code, "a = \"x\"\nb = 1\nc = 2\n");
        for name in ["b = 1", "c = 2", "x"] {
            let at = notebook.code.find(name).expect("there");
            let place = notebook.place(TextSize::try_from(at).expect("small")).to_usize();
            assert!(json[place..].starts_with(name), "{name} at {place}");
        }
        assert_eq!(Notebook::read("[{\"cells\": 1").code, "");
        assert_eq!(Notebook::read(&"[".repeat(100_000)).code, "");
    }
}
