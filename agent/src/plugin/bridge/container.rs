//! The container's end of the pair.

use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use super::config::Config;
use crate::ipam::IpamResult;
use crate::netlink::Link;
use crate::plugin::PluginCall;

/// How long duplicate address detection may take; the reference plugin waits as long.
const DAD_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at an address.
const DAD_PAUSE: Duration = Duration::from_millis(20);

/// Addresses, routes, and up, unless the config wants the interface down.
pub(super) fn configure(
    call: &PluginCall<'_>,
    config: &Config,
    link: &Link,
    ipam: &IpamResult,
) -> Result<(), CniError> {
    if config.disable_container_interface {
        return Ok(());
    }
    if !config.enabledad {
        return call.configure(link.index, &ipam.ips, &ipam.routes);
    }
    accept_dad(call);
    let netlink = &call.sandbox()?.netlink;
    for ip in ipam.ips.iter().filter(|ip| ip.address.addr().is_ipv6()) {
        // Added before the rest: an address that is there already is not added a second time without detection.
        netlink.add_address_with_dad(link.index, ip.address)?;
    }
    call.configure(link.index, &ipam.ips, &ipam.routes)?;
    await_dad(call, link)
}

/// A namespace may be born with detection off. Where nobody may write it, the kernel's default, on, stays as it is.
fn accept_dad(call: &PluginCall<'_>) {
    let names = ["enhanced_dad", "accept_dad"];
    call.try_sysctls(&names.map(|name| format!("net/ipv6/conf/{}/{name}", call.ifname)), "1");
}

fn await_dad(call: &PluginCall<'_>, link: &Link) -> Result<(), CniError> {
    let give_up_at = Instant::now() + DAD_WAIT;
    loop {
        let addresses = call.sandbox()?.netlink.dad_states(link.index)?;
        if let Some((address, _)) = addresses.iter().find(|(_, state)| state.is_duplicate) {
            return Err(CniError::new(
                Code::AddressUnavailable,
                format!("address {address} is used by another node"),
            )
            .because("duplicate address detection found it on the bridge's network"));
        }
        let Some((address, _)) = addresses.iter().find(|(_, state)| state.is_tentative) else {
            return Ok(());
        };
        if Instant::now() >= give_up_at {
            return Err(CniError::new(Code::TryAgain, format!("address {address} is still tentative"))
                .because(format!("duplicate address detection took more than {} s", DAD_WAIT.as_secs())));
        }
        std::thread::sleep(DAD_PAUSE);
    }
}
