//! Two fastpath pods and a machine outside, on one VLAN of an uplink.

use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, NetworkSpec, XdpChoice, edge::VlanEdge};

use super::{
    Rig, ifindex,
    pod::{Machine, fastpath},
};

pub(crate) const NETWORK: u32 = 7;
pub(crate) const VLAN: u16 = 100;

pub(crate) struct World {
    pub(crate) pods: [Machine; 2],
    pub(crate) outside: Machine,
    pub(crate) rig: Rig,
    _edge: VlanEdge,
}

impl World {
    /// The machines, without a data plane.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let outside = Machine::behind(9, "uplink", 0);
        let edge = outside.inside(|| VlanEdge::attach(ifindex("eth0"), VLAN).expect("edge"));
        let pods = [1, 2].map(|id: u8| Machine::behind(id, &format!("pod{id}"), port_ifindex(id.into())));
        Some(Self { pods, outside, rig, _edge: edge })
    }

    /// Adds the network and the pods, as an agent does at start.
    pub(crate) fn populate(&self, datapath: &Datapath) {
        datapath.upsert_network(&network()).expect("network");
        for (id, pod) in (1..).zip(&self.pods) {
            datapath.add_port(&fastpath(id, pod, NETWORK, VLAN)).expect("port");
        }
    }
}

pub(crate) fn network() -> NetworkSpec {
    NetworkSpec {
        id: NETWORK,
        uplink_ifindex: Some(ifindex("uplink")),
        vlan: VLAN,
        xdp: XdpChoice::Always,
        ..NetworkSpec::default()
    }
}
