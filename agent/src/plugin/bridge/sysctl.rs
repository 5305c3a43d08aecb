//! Switches of the host's network namespace that have no netlink message.

use std::fs;
use std::path::Path;

use plexus_cni::{CniError, Code};

/// Lets the host forward packets of a family; needed once, and left on.
pub(super) fn enable_forwarding(is_ipv4: bool) -> Result<(), CniError> {
    let name = if is_ipv4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
    let path = Path::new("/proc/sys").join(name);
    if fs::read_to_string(&path).is_ok_and(|value| value.trim() != "0") {
        return Ok(());
    }
    fs::write(&path, "1").map_err(|error| {
        CniError::new(Code::Kernel, format!("bridge: the host cannot be made to forward ({name})"))
            .because(format!("{error}; run `sysctl -w {}=1` on the node", name.replace('/', ".")))
    })
}

/// The bridge's routes are ours, not those of router advertisements. A kernel without IPv6 has no such file, and a
/// read-only /proc is no reason to refuse a pod.
pub(super) fn ignore_router_advertisements(bridge: &str) {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(bridge).join("accept_ra");
    if let Err(error) = fs::write(&path, "0") {
        tracing::debug!("{} stays as it is: {error}", path.display());
    }
}
