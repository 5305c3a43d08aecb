//! A table of ours: what exists in it once for all attachments.

use super::script::Script;
use super::{DEADLINE, NftError, command, listing};

/// A table with verdict maps that lead to the attachments' chains.
pub(super) struct Table {
    /// Family and name.
    pub(super) name: &'static str,
    /// Its maps and sets: name and definition.
    pub(super) maps: &'static [(&'static str, &'static str)],
    /// Its chains: name, definition, rules. Those that are jumped to come first.
    pub(super) chains: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// How an element leads to a chain: `goto` or `jump`.
    pub(super) verdict: &'static str,
}

impl Table {
    /// The commands that make it, or bring it up to date.
    pub(super) fn base(&self) -> Script {
        let (table, mut script) = (self.name, self.declarations());
        for (chain, definition, _) in self.chains {
            script.line(format_args!("add chain {table} {chain} {definition}"));
            script.line(format_args!("flush chain {table} {chain}"));
        }
        for (chain, _, rules) in self.chains {
            for rule in *rules {
                script.line(format_args!("add rule {table} {chain} {rule}"));
            }
        }
        script
    }

    /// What a removal needs, so that it can name things that were never there.
    pub(super) fn declarations(&self) -> Script {
        let (table, mut script) = (self.name, Script::default());
        script.line(format_args!("add table {table}"));
        script.line(format_args!("add chain {table} in-use"));
        for (map, definition) in self.maps {
            let kind = if definition.contains(':') { "map" } else { "set" };
            script.line(format_args!("add {kind} {table} {map} {{ type {definition}; }}"));
        }
        script
    }

    /// Removes the table unless an attachment is left in it; whether it is gone.
    pub(super) fn remove_if_unused(&self) -> Result<bool, NftError> {
        let table = self.name;
        let script = format!("delete chain {table} in-use\ndelete table {table}\n");
        match command::run(&script, DEADLINE) {
            Ok(_) => Ok(true),
            // Either it is in use, or it was never there.
            Err(NftError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Chains whose names begin so, of this network, in a table that may not be there.
    pub(super) fn chains_of(&self, prefix: &str, network: &str) -> Result<Vec<String>, NftError> {
        let listing = match command::run(&format!("list table {}\n", self.name), DEADLINE) {
            Err(NftError::Refused(_)) => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let chains = listing::chains(&listing).into_iter();
        let of_network =
            chains.filter(|chain| chain.name.starts_with(prefix) && chain.comment == Some(network));
        Ok(of_network.map(|chain| chain.name.to_owned()).collect())
    }
}
