//! Pods, a host and a machine outside: traffic in network namespaces.

mod bpf_rig;

use bpf_rig::{
    Rig, ifindex,
    pod::{Machine, fastpath},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, NetworkSpec, XdpChoice, edge::VlanEdge};

const NETWORK: u32 = 7;
const VLAN: u16 = 100;

/// Two pods and a machine outside on one VLAN of an uplink.
struct World {
    rig: Rig,
    datapath: Datapath,
    pods: [Machine; 2],
    outside: Machine,
    _edge: VlanEdge,
}

impl World {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let outside = Machine::behind(9, "uplink", 0);
        let edge = outside.inside(|| VlanEdge::attach(ifindex("eth0"), VLAN).expect("edge"));
        let pods = [1, 2].map(|id: u8| Machine::behind(id, &format!("pod{id}"), port_ifindex(id.into())));
        let datapath = rig.open();
        datapath.upsert_network(&network()).expect("network");
        for (id, pod) in (1..).zip(&pods) {
            datapath.add_port(&fastpath(id, pod, NETWORK, VLAN)).expect("port");
        }
        Some(Self { rig, datapath, pods, outside, _edge: edge })
    }
}

fn network() -> NetworkSpec {
    NetworkSpec { id: NETWORK, uplink_ifindex: Some(ifindex("uplink")), vlan: VLAN, xdp: XdpChoice::Always }
}

#[test]
fn everybody_reaches_everybody_over_a_vlan_uplink() {
    let Some(world) = World::new("everybody_reaches_everybody_over_a_vlan_uplink") else { return };
    let [one, two] = &world.pods;
    for address in [Machine::v4, Machine::v6] {
        one.reaches(two, address(two));
        two.reaches(one, address(one));
        one.reaches(&world.outside, address(&world.outside));
        world.outside.reaches(two, address(two));
    }
    println!("{:#?}", world.datapath.counters(1));
    println!("{:#?}", world.datapath.counters(2));
}
