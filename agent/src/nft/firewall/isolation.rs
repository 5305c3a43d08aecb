//! `ingressPolicy`: bridges that forward nothing to each other, and ports that their own bridge forwards nothing to.
//!
//! A bridge has a chain of its own, to which the chain of each of its attachments leads (no packet goes that way): the
//! kernel refuses to delete it while one of them is there.

use super::{Firewall, IngressPolicy, TABLE};
use crate::nft::claim::Claim;
use crate::nft::listing::Element;
use crate::nft::script::Script;
use crate::nft::table::Table;
use crate::nft::{DEADLINE, NftError, command, ignore_refusal, name};

/// What a bridge forwards is seen in its own family only.
static BRIDGED: Table = Table {
    name: "bridge plexus-firewall",
    maps: &[("ports", "ifname : verdict")],
    chains: &[(
        "forward",
        "{ type filter hook forward priority filter - 10; policy accept; }",
        &["iifname vmap @ports", "oifname vmap @ports"],
    )],
    verdict: "jump",
};

/// The commands for the attachment's bridge, whose rules are the same for all its attachments.
pub(super) fn add_rules(firewall: &Firewall<'_>, chain: &str, script: &mut Script) {
    let Some((kind, bridge)) = bridge_of(firewall.ingress) else { return };
    let (table, own) = (TABLE.name, bridge_chain(kind, bridge));
    script.line(format_args!("add chain {table} {own}"));
    script.line(format_args!("flush chain {table} {own}"));
    if kind == "same" {
        script.line(format_args!("add rule {table} {own} oifname \"{bridge}\" return"));
    }
    for bridges in ["bridges-same", "bridges-isolated"] {
        script.line(format_args!("add rule {table} {own} oifname @{bridges} drop"));
    }
    script.line(format_args!("add rule {table} {chain} jump {own}"));
    script.line(format_args!("add element {table} {kind} {{ \"{bridge}\" : jump {own} }}"));
    script.line(format_args!("add element {table} bridges-{kind} {{ \"{bridge}\" }}"));
}

/// Drops what the bridge forwards from or to an isolated port.
pub(super) fn install(
    firewall: &Firewall<'_>,
    owner: &dyn Fn(&str) -> Option<String>,
) -> Result<(), NftError> {
    let Some((chains, elements)) = bridged(firewall) else { return Ok(()) };
    let (table, chain) = (BRIDGED.name, &chains[0]);
    let mut rules = Script::default();
    for rule in ["drop", "jump in-use"] {
        rules.line(format_args!("add rule {table} {chain} {rule}"));
    }
    claim(firewall, &chains, &elements).install(&rules, owner)
}

/// Takes away what only this attachment needed; with the last one the whole table is gone.
pub(super) fn remove(firewall: &Firewall<'_>, is_last: bool) -> Result<(), NftError> {
    if let Some((chains, elements)) = bridged(firewall) {
        claim(firewall, &chains, &elements).remove()?;
    }
    if matches!(firewall.ingress, IngressPolicy::Unknown) {
        // Whatever leads to the attachment's chain is found by listing.
        claim(firewall, &[name::chain("pass", firewall.container_id, firewall.ifname)], &[]).remove()?;
    }
    match bridge_of(firewall.ingress) {
        Some((kind, bridge)) if !is_last => remove_bridge(kind, bridge),
        _ => Ok(()),
    }
}

/// Whether the bridge and the port are isolated as asked for.
pub(super) fn is_installed(firewall: &Firewall<'_>) -> Result<bool, NftError> {
    let Some((kind, bridge)) = bridge_of(firewall.ingress) else { return Ok(true) };
    let table = TABLE.name;
    let query = format!(
        "get element {table} {kind} {{ \"{bridge}\" }}\nget element {table} bridges-{kind} {{ \"{bridge}\" }}\n\
         list chain {table} {}\n",
        bridge_chain(kind, bridge)
    );
    match command::run(&query, DEADLINE) {
        Ok(listing) if listing.matches("drop").count() == 2 => {}
        Ok(_) | Err(NftError::Refused(_)) => return Ok(false),
        Err(error) => return Err(error),
    }
    match bridged(firewall) {
        None => Ok(true),
        Some((chains, elements)) => {
            let listing = claim(firewall, &chains, &elements).installed()?;
            Ok(listing.is_some_and(|listing| listing.contains("drop")))
        }
    }
}

/// Ports of the network's attachments that `keeps` does not know.
pub(super) fn collect(network: &str, keeps: &dyn Fn(&str) -> bool) -> Result<(), NftError> {
    for chain in BRIDGED.chains_of("pass-", network)?.iter().filter(|chain| !keeps(chain)) {
        let chains = [chain.clone()];
        Claim { table: &BRIDGED, chains: &chains, network, elements: &[] }.remove()?;
    }
    Ok(())
}

/// Refused as long as an attachment of the bridge is there.
fn remove_bridge(kind: &str, bridge: &str) -> Result<(), NftError> {
    let (table, own) = (TABLE.name, bridge_chain(kind, bridge));
    let script = format!(
        "delete element {table} {kind} {{ \"{bridge}\" }}\ndelete element {table} bridges-{kind} {{ \"{bridge}\" }}\n\
         flush chain {table} {own}\ndelete chain {table} {own}\n"
    );
    ignore_refusal(command::run(&script, DEADLINE))
}

/// The attachment's part of the bridges' own table, if it is isolated.
fn bridged(firewall: &Firewall<'_>) -> Option<([String; 1], [Element; 1])> {
    let IngressPolicy::Isolated { port, .. } = firewall.ingress else { return None };
    let chain = name::chain("pass", firewall.container_id, firewall.ifname);
    let element = Element { map: "ports".into(), key: format!("\"{port}\""), chain: chain.clone() };
    Some(([chain], [element]))
}

fn claim<'a>(firewall: &Firewall<'a>, chains: &'a [String], elements: &'a [Element]) -> Claim<'a> {
    Claim { table: &BRIDGED, chains, network: firewall.network, elements }
}

fn bridge_of(ingress: IngressPolicy<'_>) -> Option<(&'static str, &str)> {
    match ingress {
        IngressPolicy::Open | IngressPolicy::Unknown => None,
        IngressPolicy::SameBridge { bridge } => Some(("same", bridge)),
        IngressPolicy::Isolated { bridge, .. } => Some(("isolated", bridge)),
    }
}

fn bridge_chain(kind: &str, bridge: &str) -> String {
    format!("{kind}-{}", name::escaped(bridge))
}
