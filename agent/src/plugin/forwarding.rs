//! The host as a router between its pods and the world.

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use plexus_cni::{CniError, Code};

/// Lets the host forward packets of the families of these addresses; needed once for each, and left on.
pub(super) fn enable_forwarding(addresses: &[IpNet], plugin: &str) -> Result<(), CniError> {
    for (is_ipv4, name) in [(true, "net/ipv4/ip_forward"), (false, "net/ipv6/conf/all/forwarding")] {
        if addresses.iter().any(|address| address.addr().is_ipv4() == is_ipv4) {
            switch_on(name, plugin)?;
        }
    }
    Ok(())
}

fn switch_on(name: &str, plugin: &str) -> Result<(), CniError> {
    let path = Path::new("/proc/sys").join(name);
    if fs::read_to_string(&path).is_ok_and(|value| value.trim() != "0") {
        return Ok(());
    }
    fs::write(&path, "1").map_err(|error| {
        CniError::new(Code::Kernel, format!("{plugin}: the host cannot be made to forward ({name})"))
            .because(format!("{error}; run `sysctl -w {}=1` on the node", name.replace('/', ".")))
    })
}
