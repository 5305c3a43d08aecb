//! Links and settings of the measured paths, by iproute2 and ethtool in throw-away namespaces.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use plexus_agent::datapath::device::enable_gro;
use plexus_agent::lab::command::run;
use plexus_agent::lab::link::ip;
use plexus_agent::lab::{Host, NetNs, Runtime};
use serde_json::Value;

use super::end::{End, host_device, parse_mac};

/// The device's name in every pod.
pub(crate) const IFNAME: &str = "net1";

/// What the arms' pods are called in addresses: network and host number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(pub(crate) u8, pub(crate) u8);

impl Place {
    fn mac(self) -> String {
        format!("02:00:00:00:{:02x}:{:02x}", self.0, self.1)
    }

    fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, self.1)
    }

    fn end(self, netns: NetNs, device: &str) -> Result<End> {
        let mac = parse_mac(&self.mac()).context("a MAC of our own")?;
        Ok(End { netns, device: device.to_owned(), mac, ip: self.ip() })
    }
}

/// No IPv6 and, where the bridge has that switch, no iptables: in the calling thread's namespace.
pub(crate) fn quiet() -> Result<()> {
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").context("cannot switch IPv6 off")?;
    for family in ["ip", "ip6", "arp"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables");
        if fs::exists(&path).unwrap_or(false) {
            fs::write(&path, "0").with_context(|| format!("cannot write {path}"))?;
        }
    }
    Ok(())
}

/// A pod behind a veth whose end on the host is `device`.
pub(crate) fn veth_pod(host: &Host, name: &str, device: &str, place: Place) -> Result<End> {
    let netns = host.netns_named(name)?;
    host.cable(device, &netns, IFNAME)?;
    address(&netns, place)?;
    place.end(netns, IFNAME)
}

/// A pod with a macvlan in bridge mode on `parent`.
pub(crate) fn macvlan_pod(host: &Host, name: &str, parent: &str, place: Place) -> Result<End> {
    let netns = host.netns_named(name)?;
    let path = netns.path().display().to_string();
    ip(&[
        "link", "add", "link", parent, "name", IFNAME, "netns", &path, "type", "macvlan", "mode", "bridge",
    ])?;
    address(&netns, place)?;
    netns.ip(&["link", "set", IFNAME, "up"])?;
    place.end(netns, IFNAME)
}

/// A cable between the host's new `uplink` and `wire` outside, as a NIC and its switch: VLAN tags stay in the frames.
pub(crate) fn uplink(host: &Host, outside: &NetNs, uplink: &str, wire: &str, place: Place) -> Result<End> {
    host.cable(uplink, outside, wire)?;
    run(Command::new("ethtool").args(["-K", uplink, "rxvlan", "off"]))?;
    place.end(outside.clone(), wire)
}

/// A cable between two new namespaces, nothing in between.
pub(crate) fn wire(host: &Host, names: [&str; 2], places: [Place; 2]) -> Result<(End, End)> {
    let [from, to] = names.map(|name| host.netns_named(name));
    let (from, to) = (from?, to?);
    let [here, there] = [&from, &to].map(|netns| netns.path().display().to_string());
    ip(&["link", "add", IFNAME, "netns", &here, "type", "veth", "peer", "name", IFNAME, "netns", &there])?;
    for (netns, place) in [(&from, places[0]), (&to, places[1])] {
        address(netns, place)?;
        netns.ip(&["link", "set", IFNAME, "up"])?;
    }
    Ok((places[0].end(from, IFNAME)?, places[1].end(to, IFNAME)?))
}

/// Adds a pod to a network by the shim; gives its end, and the device of the host.
pub(crate) fn attach(host: &Host, runtime: &Runtime, name: &str, config: &Value) -> Result<(End, String)> {
    let pod = host.pod(name)?;
    let result = runtime.add(&pod, IFNAME, config)?.success().with_context(|| format!("ADD of {name}"))?;
    Ok((End::of_result(&pod, IFNAME, &result)?, host_device(&result)?))
}

fn address(netns: &NetNs, place: Place) -> Result<()> {
    netns.ip(&["link", "set", IFNAME, "address", &place.mac()])?;
    netns.ip(&["addr", "add", &format!("{}/24", place.ip()), "dev", IFNAME])?;
    Ok(())
}

/// A kernel bridge with these devices of the host and static entries for the stations behind them.
pub(crate) fn bridge(name: &str, ports: &[(&str, &End)]) -> Result<()> {
    ip(&["link", "add", name, "type", "bridge", "forward_delay", "0"])?;
    ip(&["link", "set", name, "up"])?;
    for (device, end) in ports {
        ip(&["link", "set", device, "master", name])?;
        let mac = end.mac.map(|byte| format!("{byte:02x}")).join(":");
        run(Command::new("bridge").args(["fdb", "replace", &mac, "dev", device, "master", "static"]))?;
    }
    Ok(())
}

/// Gives the device NAPI, without which live frames sent into its peer are lost. It is up, and of the host.
pub(crate) fn take_live_frames(device: &str) -> Result<()> {
    let index = if_nametoindex(device).with_context(|| format!("no device {device}"))?;
    enable_gro(index).with_context(|| format!("cannot enable GRO on {device}"))
}

/// The same for the device of an end.
pub(crate) fn end_takes_live_frames(end: &End) -> Result<()> {
    end.netns.within(|| take_live_frames(&end.device))?
}
