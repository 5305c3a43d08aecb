//! Terminal colours.

/// Colours text, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    /// Whether escapes are written.
    pub(crate) enabled: bool,
}

impl Paint {
    pub(crate) fn bold(self, text: &str) -> String {
        self.escape("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.escape("2", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.escape("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.escape("31", text)
    }

    fn escape(self, code: &str, text: &str) -> String {
        if self.enabled && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
