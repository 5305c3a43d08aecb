//! A link that is in the host again becomes what it was.

use plexus_cni::CniError;

use super::{LinkBefore, free};
use crate::netlink::{Link, Netlink, NetlinkError};

/// Puts back what differs. What cannot be put back does not keep the rest from it; the first error is the answer.
pub(super) fn finish(host: &Netlink, link: &Link, before: &LinkBefore) -> Result<(), CniError> {
    let index = link.index;
    let mut outcome = Ok(());
    let mut step = |done: Result<(), NetlinkError>| {
        if let Err(error) = done
            && outcome.is_ok()
        {
            outcome = Err(CniError::from(error));
        }
    };
    let wants_down = link.name != before.name || link.mac != before.mac || !before.is_up;
    let must_go_down = link.is_up && wants_down;
    if must_go_down {
        step(host.set_down(index));
    }
    if link.name != before.name {
        step(rename(host, link, before));
    }
    for name in &before.alt_names {
        if !link.alt_names.contains(name) {
            restore_alt_name(host, index, name);
        }
    }
    if link.mac != before.mac {
        step(host.set_mac(index, before.mac));
    }
    if link.mtu != before.mtu {
        step(host.set_mtu(index, before.mtu));
    }
    if link.tx_queue_len != before.tx_queue_len {
        step(host.set_tx_queue_len(index, before.tx_queue_len));
    }
    if link.is_promiscuous != before.is_promiscuous {
        step(host.set_promiscuous(index, before.is_promiscuous));
    }
    if link.is_all_multicast != before.is_all_multicast {
        step(host.set_all_multicast(index, before.is_all_multicast));
    }
    if before.is_up && (!link.is_up || must_go_down) {
        step(host.set_up(index));
    }
    // Last: the alias is what says that the device was borrowed.
    if link.alias.as_deref().unwrap_or_default() != before.alias.as_deref().unwrap_or_default() {
        step(host.set_alias(index, before.alias.as_deref().unwrap_or_default()));
    }
    outcome
}

fn rename(host: &Netlink, link: &Link, before: &LinkBefore) -> Result<(), NetlinkError> {
    let name = free::name(host, &before.name, Some(link.index))?;
    // An alternative name of its own stands in the way of a first one.
    if link.alt_names.iter().any(|own| own == name) {
        host.delete_alt_name(link.index, name)?;
    }
    host.rename(link.index, name)
}

/// One that another link has by now is not worth a pod that cannot end.
fn restore_alt_name(host: &Netlink, index: u32, name: &str) {
    if let Err(error) = host.add_alt_name(index, name) {
        tracing::warn!(name, %error, "a returned device lacks an alternative name");
    }
}
