//! What arrives on an uplink: XDP and tcx, frame in, verdict and frame out.

mod bpf_rig;

use bpf_rig::{
    Rig,
    frames::{self, BROADCAST},
    ifindex,
    kernel::{Kernel, TC_DROP, TC_REDIRECT, TCX_NEXT, XDP_DROP, XDP_PASS, XDP_REDIRECT},
    pod::{Machine, fastpath},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, Forwarding, NetworkSpec, PolicerSpec, PortCounters, XdpChoice};

const VLAN: u16 = 100;
const OTHER_VLAN: u16 = 200;
/// A service VLAN around VLAN 100.
const OUTER_VLAN: u16 = 7;
const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Pods with the same MAC on VLAN 100, on VLAN 200 of the same uplink, on the untagged network, and on VLAN 100 in a
/// service VLAN.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    uplink: u32,
    _machines: Vec<Machine>,
    _rig: Rig,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let mut machines = vec![Machine::behind(9, "uplink", 0)];
        let uplink = ifindex("uplink");
        let datapath = rig.open();
        for (id, vlan, outer_vlan) in [(1, VLAN, 0), (2, OTHER_VLAN, 0), (3, 0, 0), (4, VLAN, OUTER_VLAN)] {
            let forwarding = Forwarding { outer_vlan, ..Forwarding::default() };
            let network =
                NetworkSpec { id, uplink_ifindex: Some(uplink), vlan, xdp: XdpChoice::Always, forwarding };
            datapath.upsert_network(&network).expect("network");
            let pod = Machine::behind(1, &format!("pod{id}"), port_ifindex(id));
            datapath.add_port(&fastpath(id, &pod, id, vlan)).expect("port");
            machines.push(pod);
        }
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, uplink, _machines: machines, _rig: rig })
    }

    fn counters(&self, port: u32) -> PortCounters {
        self.datapath.counters(port).expect("counters")
    }
}

fn to_pod() -> Vec<u8> {
    frames::ethernet([2, 0, 0, 0, 0, 1], OUTSIDE, 0x88b5, &[7; 50])
}

fn to_nobody() -> Vec<u8> {
    frames::ethernet([2, 0, 0, 0, 0, 77], OUTSIDE, 0x88b5, &[7; 50])
}

fn to_all() -> Vec<u8> {
    frames::ethernet(BROADCAST, OUTSIDE, 0x88b5, &[7; 50])
}

fn tag(frame: &[u8], vlan: u16) -> Vec<u8> {
    frames::tagged(frame, 0x8100, vlan)
}

#[test]
fn xdp_pops_the_tag_and_redirects_to_the_vlans_own_pod() {
    let Some(bench) = Bench::new("xdp_pops_the_tag_and_redirects_to_the_vlans_own_pod") else { return };
    for (vlan, port, other) in [(VLAN, 1, 2), (OTHER_VLAN, 2, 1)] {
        let (before, other_before) = (bench.counters(port), bench.counters(other));
        // Priority bits do not change the VLAN.
        let (action, frame) = bench.kernel.xdp(bench.uplink, &tag(&to_pod(), 0xe000 | vlan));
        assert_eq!((action, frame), (XDP_REDIRECT, to_pod()), "VLAN {vlan}");
        let after = bench.counters(port);
        assert_eq!(after.rx_packets, before.rx_packets + 1);
        assert_eq!(after.rx_bytes, before.rx_bytes + to_pod().len() as u64);
        assert_eq!(bench.counters(other), other_before);
    }
}

fn stack(frame: &[u8], outer_vlan: u16) -> Vec<u8> {
    frames::tagged(&tag(frame, VLAN), 0x88a8, outer_vlan)
}

#[test]
fn both_tags_of_a_service_vlans_pod_are_popped_by_xdp_and_by_tcx() {
    let Some(bench) = Bench::new("both_tags_of_a_service_vlans_pod_are_popped_by_xdp_and_by_tcx") else {
        return;
    };
    let before = bench.counters(4);
    let frame = stack(&to_pod(), OUTER_VLAN);
    assert_eq!(bench.kernel.xdp(bench.uplink, &frame), (XDP_REDIRECT, to_pod()));
    assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &frame), (TC_REDIRECT, to_pod()));
    let after = bench.counters(4);
    assert_eq!(after.rx_packets, before.rx_packets + 2);
    assert_eq!(after.rx_bytes, before.rx_bytes + 2 * to_pod().len() as u64);
    assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &stack(&to_all(), OUTER_VLAN)).0, TCX_NEXT);
    assert_eq!(bench.counters(4).rx_bytes, after.rx_bytes + to_all().len() as u64);
}

#[test]
fn another_service_vlan_is_not_the_pods() {
    let Some(bench) = Bench::new("another_service_vlan_is_not_the_pods") else { return };
    for (name, frame) in [
        ("another service VLAN", stack(&to_pod(), 8)),
        ("a service tag with priority only", stack(&to_pod(), 0)),
        ("two customer tags", tag(&tag(&to_pod(), VLAN), OUTER_VLAN)),
        ("cut off inside the customer tag", stack(&to_pod(), OUTER_VLAN)[..19].to_vec()),
    ] {
        assert_eq!(bench.kernel.xdp(bench.uplink, &frame), (XDP_PASS, frame.clone()), "{name}");
        assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &frame), (TCX_NEXT, frame), "{name}");
    }
}

#[test]
fn xdp_redirects_a_jumbo_frame_of_several_buffers_whole() {
    let Some(bench) = Bench::new("xdp_redirects_a_jumbo_frame_of_several_buffers_whole") else { return };
    let before = bench.counters(1);
    let frame = frames::ethernet([2, 0, 0, 0, 0, 1], OUTSIDE, 0x88b5, &[7; 8900]);
    assert_eq!(bench.kernel.xdp(bench.uplink, &tag(&frame, VLAN)), (XDP_REDIRECT, frame.clone()));
    assert_eq!(bench.counters(1).rx_bytes, before.rx_bytes + frame.len() as u64);
}

#[test]
fn xdp_passes_what_is_not_unicast_for_a_pod() {
    let Some(bench) = Bench::new("xdp_passes_what_is_not_unicast_for_a_pod") else { return };
    for (name, frame) in [
        ("broadcast", tag(&to_all(), VLAN)),
        ("unknown MAC", tag(&to_nobody(), VLAN)),
        ("unknown VLAN", tag(&to_pod(), 300)),
        ("service tag", frames::tagged(&to_pod(), 0x88a8, VLAN)),
        ("cut off after the tag's type", tag(&to_pod(), VLAN)[..15].to_vec()),
        // A veth may carry the tag beside the bytes, so untagged is tcx's business there.
        ("untagged", to_pod()),
    ] {
        assert_eq!(bench.kernel.xdp(bench.uplink, &frame), (XDP_PASS, frame), "{name}");
    }
}

#[test]
fn xdp_drops_what_exceeds_the_pods_rate() {
    let Some(bench) = Bench::new("xdp_drops_what_exceeds_the_pods_rate") else { return };
    bench
        .datapath
        .set_policers(1, Some(PolicerSpec { rate_bps: 1_000, burst_bits: 8 }), None)
        .expect("policer");
    let frame = tag(&to_pod(), VLAN);
    assert_eq!(bench.kernel.xdp(bench.uplink, &frame).0, XDP_REDIRECT);
    assert_eq!(bench.kernel.xdp(bench.uplink, &frame).0, XDP_DROP);
    assert_eq!(bench.counters(1).drops["policed-to-pod"], 1);
}

#[test]
fn xdp_leaves_ports_to_tcx_that_cannot_take_redirected_frames() {
    let Some(bench) = Bench::new("xdp_leaves_ports_to_tcx_that_cannot_take_redirected_frames") else {
        return;
    };
    // A veth whose other end has no GRO.
    let mut pod = Machine::new(5);
    bpf_rig::ip(&format!(
        "link add name pod5 index {} type veth peer name eth0 netns {}",
        port_ifindex(5),
        bpf_rig::netns_path(&pod.netns)
    ));
    pod.addresses = vec!["10.9.0.5".parse().expect("address")];
    bench.datapath.add_port(&fastpath(5, &pod, 1, VLAN)).expect("port");
    let frame = tag(&frames::ethernet(pod.mac, OUTSIDE, 0x88b5, &[7; 50]), VLAN);
    assert_eq!(bench.kernel.xdp(bench.uplink, &frame).0, XDP_PASS);
    assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &frame).0, TC_REDIRECT);
    let state = bench.datapath.port_state(5).expect("state");
    assert!(state.is_healthy() && state.notes[0].contains("GRO"), "{state:?}");
}

#[test]
fn tcx_delivers_unicast_that_xdp_passed() {
    let Some(bench) = Bench::new("tcx_delivers_unicast_that_xdp_passed") else { return };
    for (frame, port) in [(tag(&to_pod(), VLAN), 1), (tag(&to_pod(), OTHER_VLAN), 2), (to_pod(), 3)] {
        let before = bench.counters(port);
        let (action, out) = bench.kernel.tc("uplink_tc", bench.uplink, &frame);
        assert_eq!((action, out), (TC_REDIRECT, to_pod()));
        let after = bench.counters(port);
        assert_eq!(after.rx_packets, before.rx_packets + 1);
        assert_eq!(after.rx_bytes, before.rx_bytes + to_pod().len() as u64);
    }
}

#[test]
fn tcx_leaves_the_hosts_frames_alone() {
    let Some(bench) = Bench::new("tcx_leaves_the_hosts_frames_alone") else { return };
    for (name, frame) in [
        ("unknown MAC", tag(&to_nobody(), VLAN)),
        ("unknown VLAN", tag(&to_pod(), 300)),
        ("broadcast of an unknown VLAN", tag(&to_all(), 300)),
        ("service tag", frames::tagged(&to_pod(), 0x88a8, VLAN)),
    ] {
        assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &frame), (TCX_NEXT, frame), "{name}");
    }
}

#[test]
fn tcx_copies_broadcasts_to_the_vlans_members_and_passes_them_on() {
    let Some(bench) = Bench::new("tcx_copies_broadcasts_to_the_vlans_members_and_passes_them_on") else {
        return;
    };
    for (frame, port) in [(tag(&to_all(), VLAN), 1), (tag(&to_all(), OTHER_VLAN), 2), (to_all(), 3)] {
        let before = [1, 2, 3].map(|port| bench.counters(port).rx_bytes);
        assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &frame).0, TCX_NEXT);
        for (id, before) in (1..).zip(before) {
            let copied = if id == port { to_all().len() as u64 } else { 0 };
            assert_eq!(bench.counters(id).rx_bytes, before + copied, "port {id}");
        }
    }
}

#[test]
fn a_pods_own_broadcast_does_not_come_back_to_it() {
    let Some(bench) = Bench::new("a_pods_own_broadcast_does_not_come_back_to_it") else { return };
    let before = bench.counters(1).rx_bytes;
    let reflected = frames::ethernet(BROADCAST, [2, 0, 0, 0, 0, 1], 0x88b5, &[7; 50]);
    assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &tag(&reflected, VLAN)).0, TCX_NEXT);
    assert_eq!(bench.counters(1).rx_bytes, before);
}

#[test]
fn tcx_polices_each_member_of_a_broadcast() {
    let Some(bench) = Bench::new("tcx_polices_each_member_of_a_broadcast") else { return };
    bench
        .datapath
        .set_policers(1, Some(PolicerSpec { rate_bps: 1_000, burst_bits: 8 }), None)
        .expect("policer");
    for _ in 0..2 {
        assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &tag(&to_all(), VLAN)).0, TCX_NEXT);
    }
    assert_eq!(bench.counters(1).drops["policed-to-pod"], 1);
    // Unicast is dropped for good.
    assert_eq!(bench.kernel.tc("uplink_tc", bench.uplink, &tag(&to_pod(), VLAN)).0, TC_DROP);
    assert_eq!(bench.counters(1).drops["policed-to-pod"], 2);
}
