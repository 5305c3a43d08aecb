//! A name and an index that nobody in the host has.

use plexus_abi::PORT_IFINDEX_BASE;

use crate::netlink::{Netlink, NetlinkError};

/// The kernel puts in the lowest free number.
const NAME_PATTERN: &str = "dev%d";

/// `name` where no other link than `own` has it, else a pattern for the kernel.
pub(super) fn name<'a>(host: &Netlink, name: &'a str, own: Option<u32>) -> Result<&'a str, NetlinkError> {
    let holder = host.link_by_name(name)?.filter(|link| Some(link.index) != own);
    Ok(match holder {
        None => name,
        Some(holder) => {
            tracing::warn!(name, holder = holder.index, "the name of a returned device was taken meanwhile");
            NAME_PATTERN
        }
    })
}

/// `index` where it is free, else the next above all that the kernel has counted to; never one of a port.
pub(super) fn index(host: &Netlink, index: u32) -> Result<u32, NetlinkError> {
    if index != 0 && host.link_by_index(index)?.is_none() {
        return Ok(index);
    }
    let counted = host.links()?.into_iter().map(|link| link.index).filter(|index| *index < PORT_IFINDEX_BASE);
    Ok(counted.max().unwrap_or_default().max(index) + 1)
}
