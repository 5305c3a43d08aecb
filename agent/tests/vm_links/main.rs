//! Main plugins whose links many kernels lack (`ipvlan`, `vlan`, `dummy`), from the shim to traffic: each test on a
//! throw-away host.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../link_rig/mod.rs"]
mod link_rig;

mod card;
mod dummy;
mod ipvlan;
mod ipvlan_refused;
mod parent;
mod vlan;

use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::skipped;

use crate::link_rig::support::Node;

/// A node on whose kernel a link of this kind can be made, e.g. `vlan id 5`; else says that the test is skipped.
pub(crate) fn start(test: &str, kind: &[&str]) -> Option<Node> {
    let node = Node::start()?;
    let probe = [&["link", "add", "probe0", "link", "uplink1", "type"], kind].concat();
    match ip(&probe) {
        Ok(()) => ip(&["link", "del", "probe0"]).unwrap(),
        Err(error) => {
            skipped(test, &format!("this kernel makes no {} links: {error}", kind[0]));
            return None;
        }
    }
    Some(node)
}
