//! A script for nft: one command in each line.

use std::fmt::Display;

/// Commands that are one transaction.
#[derive(Default)]
pub(super) struct Script(String);

impl Script {
    /// One more command.
    pub(super) fn line(&mut self, command: impl Display) {
        self.0.push_str(&command.to_string());
        self.0.push('\n');
    }

    /// More commands.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// The text for nft.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}
