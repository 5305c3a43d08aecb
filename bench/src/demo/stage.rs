//! The machines: a host with two NICs, another machine at their far ends, plexusd on the host.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use plexus_agent::datapath::edge::VlanEdge;
use plexus_agent::lab::leftovers::Inventory;
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Plexusd, Runtime};
use serde_json::{Value, json};

use crate::args::DemoOptions;
use crate::screen::Screen;

/// The VLAN of the network "blue" on the wire.
const VLAN: u16 = 100;
/// What the machine outside is called on each network.
pub(super) const OUTSIDE: [(&str, &str, &str); 2] =
    [("default/blue", "eth0", "10.100.0.1/24"), ("default/lan", "eth1", "192.168.50.1/24")];

/// Everything that the acts play on.
pub(super) struct Stage {
    // In this order: plexusd ends before its host.
    pub(super) plexusd: Plexusd,
    _edge: VlanEdge,
    pub(super) outside: NetNs,
    pub(super) runtime: Runtime,
    pub(super) binaries: Binaries,
    /// The runtime's config, the socket put in.
    pub(super) config: Value,
    /// What the host had before plexusd.
    pub(super) before: Inventory,
    pub(super) host: Host,
}

impl Stage {
    /// Sets the machines up and starts plexusd on the examples.
    pub(super) fn build(options: &DemoOptions, screen: &mut Screen) -> Result<Self> {
        screen.heading("Machines");
        let binaries = match &options.common.bin_dir {
            Some(dir) => Binaries::at(dir)?,
            None => Binaries::find()?,
        };
        // Relative to the place where we stand, which entering the host keeps.
        let config = fs::read_to_string(options.examples.join("10-plexus.conf")).with_context(|| {
            format!("cannot read 10-plexus.conf in {}: give --examples", options.examples.display())
        })?;
        let mut config: Value = serde_json::from_str(&config).context("10-plexus.conf is not JSON")?;
        let host = Host::enter()?;
        config["socket"] = json!(host.socket());
        config["stateDir"] = json!(host.state_dir());
        copy_manifests(&options.examples, &host.manifests_dir())?;
        let outside = host.netns_named("outside")?;
        for (index, (_, device, address)) in OUTSIDE.iter().enumerate() {
            host.cable(&format!("uplink{index}"), &outside, device)?;
            outside.ip(&["addr", "add", address, "dev", device])?;
        }
        let edge = outside
            .within(|| VlanEdge::attach(if_nametoindex("eth0")?, VLAN).map_err(anyhow::Error::from))??;
        screen.expect(true, "a host, and a machine outside", "uplink0 ═ VLAN 100, uplink1 ═ untagged");
        let before = Inventory::take(&host)?;
        let plexusd = DaemonSetup::new(&host, &binaries).start()?;
        screen.expect(true, "plexusd answers", &format!("pid {}", plexusd.pid()));
        let runtime = Runtime::new(&host, &binaries);
        Ok(Self { plexusd, _edge: edge, outside, runtime, binaries, config, before, host })
    }
}

/// Copies the YAML files; plexusd follows the copy.
fn copy_manifests(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", from.display()))?.path();
        if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|end| end == "yaml")) {
            fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
