//! The host's own filter of forwarded packets, as iptables makes it: a rule at its head accepts what we marked.

use super::MARK;
use crate::nft::script::Script;
use crate::nft::{DEADLINE, NftError, command, ignore_refusal};

/// Our chain beside those of iptables.
const CHAIN: &str = "PLEXUS-FORWARD";
/// A table that holds nothing but what `open` made.
const BARE: [&str; 3] = ["chain FORWARD {", "type filter hook forward priority filter; policy accept;", "}"];

/// Lets what is marked pass; the administrator's own chain is asked before.
pub(super) fn open(family: &str, admin_chain: &str) -> Result<(), NftError> {
    let table = format!("{family} filter");
    let (forward, ours) = (rules(&table, "FORWARD")?, rules(&table, CHAIN)?);
    let has = |rules: &[String], what: &str| rules.iter().any(|rule| rule.contains(what));
    let mut script = Script::default();
    script.line(format_args!("add table {table}"));
    // No policy is said: a filter that is there keeps its own.
    script.line(format_args!("add chain {table} FORWARD {{ type filter hook forward priority filter; }}"));
    script.line(format_args!("add chain {table} {CHAIN}"));
    if !admin_chain.is_empty() {
        script.line(format_args!("add chain {table} {admin_chain}"));
        if !has(&ours, &format!("jump {admin_chain} ")) {
            script.line(format_args!("insert rule {table} {CHAIN} counter jump {admin_chain}"));
        }
    }
    if !has(&ours, "accept") {
        script.line(format_args!("add rule {table} {CHAIN} {MARK} counter accept"));
    }
    if !has(&forward, &format!("jump {CHAIN} ")) {
        script.line(format_args!("insert rule {table} FORWARD counter jump {CHAIN}"));
    }
    command::run(script.text(), DEADLINE).map(drop)
}

/// Whether what is marked passes.
pub(super) fn is_open(family: &str) -> Result<bool, NftError> {
    let table = format!("{family} filter");
    let leads = rules(&table, "FORWARD")?.iter().any(|rule| rule.contains(&format!("jump {CHAIN}")));
    Ok(leads && rules(&table, CHAIN)?.iter().any(|rule| rule.contains("accept")))
}

/// Takes the rule away, and the table where nobody else has put anything into it.
pub(super) fn close() -> Result<(), NftError> {
    for table in ["ip filter", "ip6 filter"] {
        let jumps = rules(table, "FORWARD")?;
        let admin_chains = rules(table, CHAIN)?;
        let handles = jumps
            .iter()
            .filter(|rule| rule.contains(&format!("jump {CHAIN} ")))
            .filter_map(|rule| rule.rsplit_once("# handle "));
        let mut script = Script::default();
        for (_, handle) in handles {
            script.line(format_args!("delete rule {table} FORWARD handle {handle}"));
        }
        script.line(format_args!("flush chain {table} {CHAIN}"));
        script.line(format_args!("delete chain {table} {CHAIN}"));
        ignore_refusal(command::run(script.text(), DEADLINE))?;
        for rule in admin_chains {
            let name = rule.split("jump ").nth(1).and_then(|rest| rest.split_whitespace().next());
            // Deleting a chain takes its rules along: those are the administrator's.
            if let Some(name) = name
                && rules(table, name)?.is_empty()
            {
                // Refused where it is used elsewhere.
                ignore_refusal(command::run(&format!("delete chain {table} {name}\n"), DEADLINE))?;
            }
        }
        remove_bare(table)?;
    }
    Ok(())
}

fn remove_bare(table: &str) -> Result<(), NftError> {
    let listing = match command::run(&format!("list table {table}\n"), DEADLINE) {
        Err(NftError::Refused(_)) => return Ok(()),
        outcome => outcome?,
    };
    let lines = listing.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let inside: Vec<&str> = lines.skip(1).collect();
    match inside.strip_suffix(&["}"]) {
        Some(inside) if inside == BARE => {
            ignore_refusal(command::run(&format!("delete table {table}\n"), DEADLINE))
        }
        _ => Ok(()),
    }
}

/// The rules of a chain, with their handles; none where it is not there.
fn rules(table: &str, chain: &str) -> Result<Vec<String>, NftError> {
    let listing = match command::run_with_handles(&format!("list chain {table} {chain}\n"), DEADLINE) {
        Err(NftError::Refused(_)) => return Ok(Vec::new()),
        outcome => outcome?,
    };
    let lines = listing.lines().map(str::trim);
    let is_rule =
        |line: &&str| !line.starts_with(['#', '}']) && !line.contains(" {") && !line.starts_with("type ");
    Ok(lines.filter(is_rule).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Whether firewalld rules this host: what its own table drops, no rule of ours lets pass.
pub fn is_firewalld_there() -> Result<bool, NftError> {
    let tables = command::run("list tables\n", DEADLINE)?;
    Ok(tables.lines().any(|line| line.trim() == "table inet firewalld"))
}
