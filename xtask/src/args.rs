//! Flags of a verb: `--name VALUE`, `--name=VALUE` or a bare `--name`.

use std::str::FromStr;

/// What was given, and what of it was asked for.
pub struct Args<'a> {
    given: &'a [String],
    used: Vec<bool>,
}

impl<'a> Args<'a> {
    pub fn new(given: &'a [String]) -> Self {
        Args { given, used: vec![false; given.len()] }
    }

    /// Whether the bare flag is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.given.iter().position(|it| it == name);
        if let Some(at) = at {
            self.used[at] = true;
        }
        at.is_some()
    }

    /// The flag's value, or `default`.
    pub fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        for (at, word) in self.given.iter().enumerate() {
            let text = if word == name {
                self.used[at] = true;
                let text = self.given.get(at + 1).ok_or_else(|| format!("{name} needs a value"))?;
                self.used[at + 1] = true;
                text.as_str()
            } else if let Some(text) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                self.used[at] = true;
                text
            } else {
                continue;
            };
            return text.parse().map_err(|_| format!("{name}: {text:?} is not a value of the right kind"));
        }
        Ok(default)
    }

    /// Fails when something was given that no one asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.used.iter().position(|used| !used) {
            Some(at) => Err(format!("unknown argument {:?}", self.given[at])),
            None => Ok(()),
        }
    }
}
