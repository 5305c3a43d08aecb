//! What the reference plugin took, or an ADD of ours whose record is lost: the link's alias is its name in the host.

use plexus_cni::CniError;

use crate::plugin::PluginCall;
use crate::plugin::device::LinkBefore;

/// Gives back the container's interface, if it is a borrowed one; everything else is left alone.
pub(super) fn release(call: &PluginCall<'_>) -> Result<(), CniError> {
    let Some(sandbox) = call.sandbox else { return Ok(()) };
    let Some(link) = sandbox.netlink.link_by_name(call.ifname)? else { return Ok(()) };
    let Some(name) = link.alias.clone().filter(|name| !name.is_empty()) else { return Ok(()) };
    if call.is_recorded(link.index) {
        return Ok(());
    }
    let before = LinkBefore { index: 0, name, alias: None, is_up: false, ..LinkBefore::of(&link) };
    call.give_back(&link, &before)
}
