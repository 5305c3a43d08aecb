//! What a scenario runs on.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::ifaddrs::getifaddrs;
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Plexusd, Runtime};
use serde_json::json;

use super::file::{Between, Direction, Topology};
use super::trial::Lane;
use crate::packets::end::End;
use crate::packets::sink::Receiver;
use crate::packets::wiring::{Place, attach, bridge, quiet, take_live_frames, veth_pod, wire};

/// Addresses of devices that have none, from the range for benchmarks (RFC 2544, appendix C.2.2).
const WITHOUT_ADDRESS: [[u8; 4]; 2] = [[198, 18, 0, 1], [198, 18, 0, 2]];
const SENDER: Place = Place(18, 2);
const RECEIVER: Place = Place(18, 3);

/// Two ends, and what must live as long as they are used.
pub(crate) struct Stage {
    /// In the order of `direction`.
    pub(crate) lanes: Vec<Lane>,
    /// Bits per second of the sending device, as it says itself.
    pub(crate) link_bps: Option<f64>,
    // In this order: plexusd ends before its host.
    _plexusd: Option<Plexusd>,
    _host: Option<Host>,
}

/// What a topology is made of.
struct Ends {
    from: End,
    to: End,
    sink: Receiver,
    /// Devices of the host into whose peers frames are sent.
    entries: Vec<String>,
    plexusd: Option<Plexusd>,
}

impl Stage {
    /// Builds namespaces, or takes the devices that are named.
    pub(crate) fn build(topology: &Topology, direction: Direction, bin_dir: Option<&Path>) -> Result<Self> {
        let (host, ends) = match topology {
            Topology::Netns(between) => {
                let host = Host::enter()?;
                quiet()?;
                let ends = namespaces(&host, *between, bin_dir)?;
                for device in &ends.entries {
                    take_live_frames(device)?;
                }
                (Some(host), ends)
            }
            Topology::Nics { from, to } => (None, devices(from, to)?),
            Topology::Pair => {
                bail!("topology is pair: start `plexus-bench pair` in both pods (docs/bench.md)")
            }
        };
        let Ends { from, to, sink, plexusd, .. } = ends;
        let link_bps = from.netns.within(|| speed_bps(&from.device))?;
        let forward = Lane { name: "forward", from: from.clone(), to: to.clone(), sink };
        let backward = Lane { name: "backward", from: to, to: from, sink };
        let lanes = match direction {
            Direction::Forward => vec![forward],
            Direction::Backward => vec![backward],
            Direction::Both => vec![forward, backward],
        };
        Ok(Self { lanes, link_bps, _plexusd: plexusd, _host: host })
    }
}

fn namespaces(host: &Host, between: Between, bin_dir: Option<&Path>) -> Result<Ends> {
    match between {
        Between::Wire => {
            let (from, to) = wire(host, ["sender", "receiver"], [SENDER, RECEIVER])?;
            Ok(Ends { from, to, sink: Receiver::Xdp, entries: Vec::new(), plexusd: None })
        }
        Between::Bridge => {
            let from = veth_pod(host, "sender", "sender", SENDER)?;
            let to = veth_pod(host, "receiver", "receiver", RECEIVER)?;
            bridge("br0", &[("sender", &from), ("receiver", &to)])?;
            let entries = vec!["sender".into(), "receiver".into()];
            Ok(Ends { from, to, sink: Receiver::Stack, entries, plexusd: None })
        }
        Between::Fastpath => {
            let binaries = match bin_dir {
                Some(dir) => Binaries::at(dir)?,
                None => Binaries::find()?,
            };
            let plexusd = DaemonSetup::new(host, &binaries).start()?;
            let runtime = Runtime::new(host, &binaries);
            let config = json!({
                "cniVersion": "1.0.0", "name": "bench", "type": "fastpath",
                "ipam": {"type": "host-local", "subnet": "10.18.0.0/24"},
            });
            let (from, entry) = attach(host, &runtime, "sender", &config)?;
            let (to, other) = attach(host, &runtime, "receiver", &config)?;
            let plexusd = Some(plexusd);
            Ok(Ends { from, to, sink: Receiver::Stack, entries: vec![entry, other], plexusd })
        }
    }
}

/// Two devices of this network namespace, as they are.
fn devices(from: &str, to: &str) -> Result<Ends> {
    let [own, other] = WITHOUT_ADDRESS;
    let (from, to) = (device(from, own)?, device(to, other)?);
    Ok(Ends { from, to, sink: Receiver::Xdp, entries: Vec::new(), plexusd: None })
}

/// A device of this network namespace with its first IPv4 address.
pub(crate) fn device(name: &str, without_address: [u8; 4]) -> Result<End> {
    let (mut mac, mut ip) = (None, None);
    for address in getifaddrs().context("cannot list addresses")?.filter(|it| it.interface_name == name) {
        let Some(address) = address.address else { continue };
        mac = mac.or(address.as_link_addr().and_then(nix::sys::socket::LinkAddr::addr));
        ip = ip.or(address.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip));
    }
    let mac = mac.with_context(|| format!("there is no device {name}, or it has no MAC address"))?;
    ensure!(mac != [0; 6], "{name} has no MAC address: a network card or a veth is wanted");
    let ip = ip.unwrap_or_else(|| without_address.into());
    Ok(End { netns: NetNs::of_this_thread()?, device: name.to_owned(), mac, ip })
}

/// What a device says of its speed; nothing if it does not know.
pub(crate) fn speed_bps(device: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/sys/class/net/{device}/speed")).ok()?;
    text.trim().parse::<f64>().ok().filter(|megabit| *megabit > 0.0).map(|megabit| megabit * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let error = device("no-such-device", [198, 18, 0, 1]).unwrap_err();
        assert!(error.to_string().contains("no-such-device"), "{error}");
        let error = device("lo", [198, 18, 0, 1]).unwrap_err();
        assert!(
            error.to_string().contains("lo has no MAC") || error.to_string().contains("no device lo"),
            "{error}"
        );
    }
}
