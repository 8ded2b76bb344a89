//! Programs from templates: bugs and variants of one language, in one text.
//!
//! ```text
//! bug NAME RULE FAMILY          what goes wrong: pieces of code
//! [piece]
//! ...
//! variant NAME FAMILY near|far  where it goes wrong: files with places for the pieces; far: data crosses files or
//! [file]                        classes
//! ...
//! ```
//!
//! Each variant is filled with each bug of a family that it has (a bug or variant of several families names them with
//! `,`). A line `$piece` becomes the piece, at that indentation; `$piece(x)` the piece with `x` for each `@` in it;
//! `${piece}` stands for a piece of one line within a line. A piece that a bug has not is nothing, but `add_own` and
//! `remove_own` are `add` and `remove` then. A line that ends with a comment `bad` or `good` is in that twin only. Lines
//! that begin with `# ` between blocks are comments.

use super::variants::File;

/// A named text.
type Piece = (String, String);

pub struct Bug {
    pub name: String,
    pub rule: String,
    families: Vec<String>,
    pieces: Vec<Piece>,
}

pub struct Variant {
    pub name: String,
    families: Vec<String>,
    pub is_far: bool,
    files: Vec<Piece>,
}

/// All bugs and variants of a language.
pub struct Templates {
    pub bugs: Vec<Bug>,
    pub variants: Vec<Variant>,
    /// `#` or `//`.
    comment: &'static str,
}

impl Templates {
    pub fn python() -> Templates {
        Templates::parse(include_str!("python.txt"), "#")
    }

    pub fn javascript() -> Templates {
        Templates::parse(include_str!("javascript.txt"), "//")
    }

    fn parse(text: &str, comment: &'static str) -> Templates {
        let mut it = Templates { bugs: Vec::new(), variants: Vec::new(), comment };
        let mut is_bug = false;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let families = |it: &str| it.split(',').map(str::to_owned).collect();
            match words[..] {
                ["bug", name, rule, of] => {
                    is_bug = true;
                    let (name, rule) = (name.to_owned(), rule.to_owned());
                    it.bugs.push(Bug { name, rule, families: families(of), pieces: Vec::new() });
                }
                ["variant", name, of, far] => {
                    is_bug = false;
                    let (name, is_far) = (name.to_owned(), far == "far");
                    it.variants.push(Variant { name, families: families(of), is_far, files: Vec::new() });
                }
                ["#", ..] => {}
                _ => {
                    let pieces = match is_bug {
                        true => it.bugs.last_mut().map(|it| &mut it.pieces),
                        false => it.variants.last_mut().map(|it| &mut it.files),
                    };
                    let Some(pieces) = pieces else { continue };
                    match line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                        Some(name) if !name.is_empty() && !line.contains(' ') && is_name(name) => {
                            pieces.push((name.to_owned(), String::new()));
                        }
                        _ => {
                            let Some((_, text)) = pieces.last_mut() else { continue };
                            text.push_str(line);
                            text.push('\n');
                        }
                    }
                }
            }
        }
        for (_, text) in it.bugs.iter_mut().flat_map(|it| &mut it.pieces) {
            text.truncate(text.trim_end().len());
        }
        it
    }

    /// Bugs and variants that go together.
    pub fn pairs(&self) -> impl Iterator<Item = (&Bug, &Variant)> {
        self.bugs.iter().flat_map(|bug| {
            let fits = |it: &&Variant| it.families.iter().any(|it| bug.families.contains(it));
            self.variants.iter().filter(fits).map(move |it| (bug, it))
        })
    }

    /// The program of a pair.
    pub fn files(&self, bug: &Bug, variant: &Variant, is_bad: bool) -> Vec<File> {
        variant
            .files
            .iter()
            .map(|(name, text)| (name.clone(), self.fill(bug, text.trim_end(), is_bad)))
            .collect()
    }

    fn fill(&self, bug: &Bug, text: &str, is_bad: bool) -> String {
        let mut out = String::new();
        for line in text.lines() {
            let Some(line) = self.of_twin(line, is_bad) else { continue };
            let rest = line.trim_start();
            let indent = &line[..line.len() - rest.len()];
            let Some(name) = rest.strip_prefix('$').filter(|it| !it.starts_with('{')) else {
                out.push_str(&inline(bug, line));
                out.push('\n');
                continue;
            };
            let (name, given) = match name.split_once('(') {
                Some((name, given)) => (name, given.trim_end_matches(')')),
                None => (name, "@"),
            };
            for piece in bug.piece(name).lines() {
                let Some(piece) = self.of_twin(piece, is_bad) else { continue };
                if !piece.is_empty() {
                    out.push_str(indent);
                    out.push_str(&piece.replace('@', given));
                }
                out.push('\n');
            }
        }
        out
    }

    /// The line without its mark; `None` where it is only in the other twin.
    fn of_twin<'a>(&self, line: &'a str, is_bad: bool) -> Option<&'a str> {
        for (mark, is_there) in [("bad", is_bad), ("good", !is_bad)] {
            let marked = line.strip_suffix(mark).and_then(|it| it.strip_suffix(self.comment));
            if let Some(line) = marked {
                return is_there.then(|| line.trim_end());
            }
        }
        Some(line)
    }
}

impl Bug {
    fn piece(&self, name: &str) -> &str {
        let own = name.strip_suffix("_own");
        let found = self.pieces.iter().find(|it| it.0 == name);
        let found = found.or_else(|| self.pieces.iter().find(|it| Some(it.0.as_str()) == own));
        found.map_or("", |it| it.1.as_str())
    }
}

/// A line with its `${piece}`s.
fn inline(bug: &Bug, line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        match is_name(name) && bug.pieces.iter().any(|it| it.0 == name) {
            true => out.push_str(bug.piece(name)),
            false => out.push_str(&format!("${{{name}}}")),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Of a piece or file; nothing that stands in brackets in the languages.
fn is_name(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_./".contains(&it)) && !text.starts_with(['.', '/'])
}

#[cfg(test)]
mod tests {
    use super::Templates;

    #[test]
    fn pieces_stand_where_they_are_named() {
        let text = "bug b rule f\n[a]\nx = @\nif @:\n    y #bad\n[z]\n1\n\nvariant v f far\n[m/n.py]\ndef f():\n    $a(self.q)\n    $none\n    w = ${z} #good\n";
        let templates = Templates::parse(text, "#");
        let (bug, variant) = templates.pairs().next().expect("they fit");
        let file = |is_bad| templates.files(bug, variant, is_bad).remove(0);
        assert_eq!(
            file(true),
            ("m/n.py".to_owned(), "def f():\n    x = self.q\n    if self.q:\n        y\n".to_owned())
        );
        assert_eq!(file(false).1, "def f():\n    x = self.q\n    if self.q:\n    w = 1\n");
        assert!(variant.is_far && bug.rule == "rule");
    }
}
