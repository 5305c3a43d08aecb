//! The host with all paths: those of Plexus are attached by plexusd and the shim, the others are bare links.

use std::path::Path;

use anyhow::{Context as _, Result};
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Plexusd, Runtime};
use serde_json::{Value, json};

use super::arm::Arm;
use crate::packets::end::End;
use crate::packets::forwarder::Forwarder;
use crate::packets::sink::Receiver;
use crate::packets::wiring::{
    Place, attach, bridge, end_takes_live_frames, macvlan_pod, quiet, take_live_frames, uplink, veth_pod,
};

/// Two ends of a path.
pub(super) type Pair = (&'static str, End, End);

/// Everything that the arms need; all of it ends with this value.
pub(super) struct Stage {
    // In this order: plexusd ends before its host.
    pub(super) plexusd: Plexusd,
    _forwarders: [Forwarder; 2],
    _outside: NetNs,
    /// Both ends of pod to pod, by arm.
    plexus: (End, End),
    bridge: (End, End),
    peer: (End, End),
    macvlan: (End, End),
    /// Sender outside and pod, by arm.
    plexus_wire: (End, End),
    devmap_wire: (End, End),
    macvlan_wire: (End, End),
    /// Devices of the host into whose peers frames are sent.
    entries: Vec<String>,
    _host: Host,
}

impl Stage {
    /// Sets everything up and starts plexusd.
    pub(super) fn build(bin_dir: Option<&Path>) -> Result<Self> {
        let binaries = match bin_dir {
            Some(dir) => Binaries::at(dir)?,
            None => Binaries::find()?,
        };
        let host = Host::enter()?;
        quiet()?;
        let outside = host.netns_named("outside")?;
        let plexus_sender = uplink(&host, &outside, "uplink0", "wire0", Place(1, 250))?;
        let devmap_sender = uplink(&host, &outside, "uplink1", "wire1", Place(5, 250))?;
        let macvlan_sender = uplink(&host, &outside, "uplink2", "wire2", Place(4, 250))?;
        let plexusd = DaemonSetup::new(&host, &binaries).start()?;
        let runtime = Runtime::new(&host, &binaries);
        let (plexus_a, entry) = attach(&host, &runtime, "plexus-a", &local())?;
        let (plexus_b, _) = attach(&host, &runtime, "plexus-b", &local())?;
        let (plexus_wired, _) = attach(&host, &runtime, "plexus-wired", &wired())?;
        let bridged = (
            veth_pod(&host, "bridge-a", "bridge-a", Place(2, 2))?,
            veth_pod(&host, "bridge-b", "bridge-b", Place(2, 3))?,
        );
        bridge("br0", &[("bridge-a", &bridged.0), ("bridge-b", &bridged.1)])?;
        let peer = (
            veth_pod(&host, "peer-a", "peer-a", Place(3, 2))?,
            veth_pod(&host, "peer-b", "peer-b", Place(3, 3))?,
        );
        let macvlan = (
            macvlan_pod(&host, "macvlan-a", "uplink2", Place(4, 2))?,
            macvlan_pod(&host, "macvlan-b", "uplink2", Place(4, 3))?,
        );
        let devmap = veth_pod(&host, "devmap", "devmap", Place(5, 2))?;
        end_takes_live_frames(&devmap)?;
        let forwarders =
            [Forwarder::redirect_peer("peer-a", "peer-b")?, Forwarder::devmap("uplink1", "devmap")?];
        let entries = vec![entry, "bridge-a".into(), "peer-a".into(), "uplink2".into()];
        Ok(Self {
            plexusd,
            _forwarders: forwarders,
            _outside: outside,
            plexus: (plexus_a, plexus_b),
            bridge: bridged,
            peer,
            macvlan_wire: (macvlan_sender, macvlan.1.clone()),
            macvlan,
            plexus_wire: (plexus_sender, plexus_wired),
            devmap_wire: (devmap_sender, devmap),
            entries,
            _host: host,
        })
    }

    /// Ends between which TCP can be spoken.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        [("plexus", &self.plexus), ("bridge", &self.bridge), ("macvlan", &self.macvlan)]
            .map(|(name, (from, to))| (name, from.clone(), to.clone()))
            .into()
    }

    /// Pods of Plexus between which packets go pod to pod, and from outside to a pod.
    pub(super) fn plexus_pair(&self) -> (&End, &End) {
        (&self.plexus.0, &self.plexus.1)
    }

    /// Lets the generator in. After TCP is measured: GRO at these ends changes what TCP does.
    pub(super) fn take_live_frames(&self) -> Result<()> {
        self.entries.iter().try_for_each(|device| take_live_frames(device))
    }

    /// Every path for the generator.
    pub(super) fn arms(&self) -> Result<Vec<Arm>> {
        let arm = |name, (from, to): &(End, End), receiver| {
            Arm::new(name, from, to, receiver).with_context(|| format!("arm {name}"))
        };
        Ok(vec![
            arm("pod_pod.plexus", &self.plexus, Receiver::Stack)?,
            arm("pod_pod.bridge", &self.bridge, Receiver::Stack)?,
            arm("pod_pod.redirect_peer", &self.peer, Receiver::Stack)?,
            arm("uplink_pod_xdp.plexus", &self.plexus_wire, Receiver::Xdp)?,
            arm("uplink_pod_xdp.devmap", &self.devmap_wire, Receiver::Xdp)?,
            arm("uplink_pod_xdp.macvlan", &self.macvlan_wire, Receiver::GenericXdp)?,
            arm("uplink_pod_stack.plexus", &self.plexus_wire, Receiver::Stack)?,
            arm("uplink_pod_stack.devmap", &self.devmap_wire, Receiver::Stack)?,
            arm("uplink_pod_stack.macvlan", &self.macvlan_wire, Receiver::Stack)?,
        ])
    }
}

/// A network of this node only.
fn local() -> Value {
    network("bench-local", &json!({"type": "fastpath"}), 6)
}

/// A network with an uplink. XDP on a veth must be asked for; here all frames have complete checksums.
fn wired() -> Value {
    network("bench-wired", &json!({"type": "fastpath", "uplink": "uplink0", "xdp": "always"}), 1)
}

fn network(name: &str, plugin: &Value, number: u8) -> Value {
    let mut config = plugin.clone();
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!(name);
    config["ipam"] = json!({"type": "host-local", "ranges": [[{
        "subnet": format!("10.{number}.0.0/24"),
        "rangeStart": format!("10.{number}.0.10"),
        "rangeEnd": format!("10.{number}.0.99"),
    }]]});
    config
}
