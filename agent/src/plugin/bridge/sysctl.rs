//! Switches of the host's network namespace that have no netlink message.

use std::fs;
use std::path::Path;

/// The bridge's routes are ours, not those of router advertisements. A kernel without IPv6 has no such file, and a
/// read-only /proc is no reason to refuse a pod.
pub(super) fn ignore_router_advertisements(bridge: &str) {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(bridge).join("accept_ra");
    if let Err(error) = fs::write(&path, "0") {
        tracing::debug!("{} stays as it is: {error}", path.display());
    }
}
