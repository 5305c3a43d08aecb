//! Telling the network where a device's addresses are now.

use std::thread::sleep;
use std::time::{Duration, Instant};

use plexus_cni::CniError;

use crate::netlink::Link;
use crate::plugin::PluginCall;

/// How long the carrier of a device that was just set up is waited for: as the reference's sriov.
const CARRIER_WAIT: Duration = Duration::from_millis(200);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);

impl PluginCall<'_> {
    /// The kernel announces the addresses when a link is set up, but a device whose carrier comes later drops what it
    /// sends until then. So the carrier is awaited, and the announcement had once more: setting the address that it has is
    /// what makes the kernel do that (`arp_notify`, `ndisc_notify`).
    pub(in crate::plugin) fn announce_with_carrier(&self, link: &Link) -> Result<(), CniError> {
        let netlink = &self.sandbox()?.netlink;
        let until = Instant::now() + CARRIER_WAIT;
        let mut has_waited = false;
        while !netlink.link_by_index(link.index)?.is_some_and(|link| link.is_running) {
            if Instant::now() > until {
                tracing::info!(interface = self.ifname, "no carrier yet: its addresses are not announced");
                return Ok(());
            }
            has_waited = true;
            sleep(LOOK);
        }
        if has_waited && let Err(error) = netlink.set_mac(link.index, link.mac) {
            tracing::info!(interface = self.ifname, %error, "its addresses are not announced");
        }
        Ok(())
    }
}
