//! One end of a path: a device in a namespace, with its addresses.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use plexus_agent::lab::{NetNs, Pod};
use serde_json::Value;

/// A device that sends or receives.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// Where the device is.
    pub(crate) netns: NetNs,
    /// Its name there.
    pub(crate) device: String,
    /// Its hardware address.
    pub(crate) mac: [u8; 6],
    /// Its IPv4 address.
    pub(crate) ip: Ipv4Addr,
}

impl End {
    /// What a CNI result says of the interface `device` in a pod.
    pub(crate) fn of_result(pod: &Pod, device: &str, result: &Value) -> Result<Self> {
        let interfaces = result["interfaces"].as_array().context("the result has no interfaces")?;
        let inside = interfaces.iter().find(|one| one["name"] == device && one["sandbox"].is_string());
        let mac = inside.and_then(|one| one["mac"].as_str()).context("the result has no MAC")?;
        let ip = result["ips"][0]["address"].as_str().context("the result has no address")?;
        let ip = ip.split('/').next().unwrap_or_default();
        Ok(Self {
            netns: pod.netns.clone(),
            device: device.to_owned(),
            mac: parse_mac(mac).with_context(|| format!("{mac:?} is no MAC"))?,
            ip: ip.parse().with_context(|| format!("{ip:?} is no IPv4 address"))?,
        })
    }

    /// The address with a port.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip.into(), port)
    }
}

/// The interface of a result that is on the host: a veth's other end.
pub(crate) fn host_device(result: &Value) -> Result<String> {
    let interfaces = result["interfaces"].as_array().context("the result has no interfaces")?;
    let outside = interfaces.iter().rfind(|one| one["sandbox"].as_str().unwrap_or_default().is_empty());
    let name = outside.and_then(|one| one["name"].as_str());
    Ok(name.context("the result has no interface on the host")?.to_owned())
}

/// `02:00:00:00:00:01` as bytes.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_six_bytes() {
        assert_eq!(parse_mac("0a:00:00:00:00:ff"), Some([10, 0, 0, 0, 0, 255]));
        assert_eq!(parse_mac("0a:00:00"), None);
        assert_eq!(parse_mac("hello"), None);
    }

    #[test]
    fn the_hosts_end_is_the_interface_without_sandbox() {
        let result = serde_json::json!({"interfaces": [
            {"name": "cni0"}, {"name": "veth1", "sandbox": ""}, {"name": "net1", "sandbox": "/x"},
        ]});
        assert_eq!(host_device(&result).unwrap(), "veth1");
    }
}
