//! What one attachment has in a table of ours: chains named after it, and elements of verdict maps that lead there.

use super::listing::{self, Element};
use super::script::Script;
use super::table::Table;
use super::{DEADLINE, NftError, command};

/// Most leftovers of others that one ADD puts away.
const LEFTOVERS_MAX: usize = 1024;
/// Bytes of a comment that the kernel keeps.
const COMMENT_BYTES_MAX: usize = 120;

/// One attachment's part of a table.
pub(super) struct Claim<'a> {
    /// The table.
    pub(super) table: &'a Table,
    /// Its chains; rules may jump from each to those behind it.
    pub(super) chains: &'a [String],
    /// Noted on the first chain, so that a listing says whose it is.
    pub(super) network: &'a str,
    /// The elements, as far as they are known.
    pub(super) elements: &'a [Element],
}

impl Claim<'_> {
    /// Puts chains, `rules` and elements in place, in one transaction.
    ///
    /// An element that leads to another chain is taken over unless `owner` knows whose chain that is.
    pub(super) fn install(
        &self,
        rules: &Script,
        owner: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), NftError> {
        let script = self.install_script(rules);
        let refusal = match command::run(script.text(), DEADLINE) {
            Err(NftError::Refused(refusal)) => refusal,
            outcome => return outcome.map(drop),
        };
        let conflicts = self.conflicts()?;
        for conflict in &conflicts {
            if let Some(owner) = owner(&conflict.chain) {
                return Err(NftError::Taken { what: conflict.key.clone(), owner });
            }
        }
        if conflicts.is_empty() {
            return Err(NftError::Refused(refusal));
        }
        let mut taking = Script::default();
        for leftover in conflicts.iter().take(LEFTOVERS_MAX) {
            self.delete(leftover, &mut taking);
        }
        taking.append(&script);
        command::run(taking.text(), DEADLINE).map(drop)
    }

    /// Takes chains and elements away; what is not there is fine, and what another attachment holds by now stays.
    ///
    /// Where the elements are not known any more, or not all ours, the ruleset itself says which lead to our chains.
    /// Whether the table went with them.
    pub(super) fn remove(&self) -> Result<bool, NftError> {
        match command::run(self.remove_script(self.elements).text(), DEADLINE) {
            Err(NftError::Refused(_)) => {
                let held: Vec<Element> = self
                    .listed()?
                    .into_iter()
                    .filter(|element| self.chains.contains(&element.chain))
                    .collect();
                command::run(self.remove_script(&held).text(), DEADLINE)?;
            }
            outcome => drop(outcome?),
        }
        self.table.remove_if_unused()
    }

    /// The listing of the first chain, if all elements lead where they should.
    pub(super) fn installed(&self) -> Result<Option<String>, NftError> {
        let Some(chain) = self.chains.first() else { return Ok(None) };
        let table = self.table.name;
        let mut query = Script::default();
        query.line(format_args!("list chain {table} {chain}"));
        for element in self.elements {
            query.line(format_args!("get element {table} {} {{ {} }}", element.map, element.key));
        }
        match command::run(query.text(), DEADLINE) {
            Ok(listing) => {
                let found = listing::elements(&listing);
                let ours = found.iter().filter(|element| self.chains.contains(&element.chain)).count();
                Ok((ours == self.elements.len()).then_some(listing))
            }
            Err(NftError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn install_script(&self, rules: &Script) -> Script {
        let (table, mut script) = (self.table.name, self.table.base());
        for (at, chain) in self.chains.iter().enumerate() {
            if at == 0 && self.network.len() <= COMMENT_BYTES_MAX {
                script.line(format_args!("add chain {table} {chain} {{ comment \"{}\"; }}", self.network));
            } else {
                script.line(format_args!("add chain {table} {chain}"));
            }
            script.line(format_args!("flush chain {table} {chain}"));
        }
        script.append(rules);
        for element in self.elements {
            self.add(element, &mut script);
        }
        script
    }

    /// An element that is not there is added first: deleting what does not exist would fail.
    fn remove_script(&self, elements: &[Element]) -> Script {
        let (table, mut script) = (self.table.name, self.table.declarations());
        for chain in self.chains {
            script.line(format_args!("add chain {table} {chain}"));
        }
        for element in elements {
            self.add(element, &mut script);
            self.delete(element, &mut script);
        }
        for verb in ["flush", "delete"] {
            for chain in self.chains {
                script.line(format_args!("{verb} chain {table} {chain}"));
            }
        }
        script
    }

    /// Elements with our keys that lead to chains of others.
    fn conflicts(&self) -> Result<Vec<Element>, NftError> {
        let mut conflicts = Vec::new();
        for ours in self.elements {
            let query = format!("get element {} {} {{ {} }}\n", self.table.name, ours.map, ours.key);
            match command::run(&query, DEADLINE) {
                Ok(listing) => conflicts.extend(
                    listing::elements(&listing)
                        .into_iter()
                        .filter(|other| !self.chains.contains(&other.chain))
                        .map(|other| Element { chain: other.chain, ..ours.clone() }),
                ),
                Err(NftError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(conflicts)
    }

    fn listed(&self) -> Result<Vec<Element>, NftError> {
        let listing = command::run(&format!("list table {}\n", self.table.name), DEADLINE)?;
        Ok(listing::elements(&listing))
    }

    fn add(&self, element: &Element, script: &mut Script) {
        let (table, Element { map, key, chain }) = (self.table, element);
        script.line(format_args!("add element {} {map} {{ {key} : {} {chain} }}", table.name, table.verdict));
    }

    fn delete(&self, element: &Element, script: &mut Script) {
        script.line(format_args!("delete element {} {} {{ {} }}", self.table.name, element.map, element.key));
    }
}
