//! ANSI styles of the text output. The caller's stream strips them where they are not wanted.

use heapwise_model::Severity;

/// Wraps words in escapes, or leaves them plain.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    /// Whether escapes are written at all.
    pub color: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Arrows, bars and line numbers.
    pub fn frame(self, text: &str) -> String {
        self.wrap("1;34", text)
    }

    pub fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    pub fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.wrap(code, text)
    }
}
