//! Counting and policing where Plexus does not forward: a bridge pod's veth, a macvlan in the pod.

mod bpf_rig;

use std::{
    net::{IpAddr, UdpSocket},
    os::fd::AsFd as _,
};

use bpf_rig::{
    Rig, frames, ip,
    kernel::{Kernel, TC_DROP, TCX_NEXT},
    pod::{Machine, PORT, tap},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, Guard, PolicerSpec, PortKind, PortSpec};

/// Bytes of a UDP datagram over IPv4 on Ethernet, without its payload.
const OVERHEAD: usize = 14 + 20 + 8;

/// Exchanges ten datagrams each way and compares with the port's counters.
fn count(datapath: &Datapath, pod: &Machine, send: impl Fn(&str), receive: impl Fn() -> usize, peer: IpAddr) {
    let payload = "x".repeat(1000);
    // Address resolution happens before counting starts.
    pod.send(peer, "hello");
    assert_eq!(receive(), 5);
    let before = datapath.counters(1).expect("counters");
    for _ in 0..10 {
        pod.send(peer, &payload);
        assert_eq!(receive(), 1000);
        send(&payload);
        assert_eq!(pod.receive().as_deref(), Some(payload.as_str()));
    }
    let after = datapath.counters(1).expect("counters");
    let expected = 10 * (OVERHEAD + 1000) as u64;
    // Others may chat on the link too, but never less than this.
    assert!(after.tx_bytes - before.tx_bytes >= expected, "{before:?} {after:?}");
    assert!(after.rx_bytes - before.rx_bytes >= expected, "{before:?} {after:?}");
    assert!(after.tx_packets - before.tx_packets >= 10 && after.rx_packets - before.rx_packets >= 10);
}

#[test]
fn a_host_tap_counts_both_directions() {
    let Some(rig) = Rig::new("a_host_tap_counts_both_directions") else { return };
    let pod = Machine::behind(1, "pod1", port_ifindex(1));
    ip("addr add 10.9.0.254/24 dev pod1");
    let host = UdpSocket::bind(("0.0.0.0", PORT)).expect("bind");
    let datapath = rig.open();
    datapath.add_port(&tap(1, &pod, PortKind::HostTap)).expect("port");
    let send = |text: &str| assert!(host.send_to(text.as_bytes(), (pod.v4(), PORT)).is_ok());
    let receive = || host.recv(&mut [0; 2048]).expect("receive");
    count(&datapath, &pod, send, receive, "10.9.0.254".parse().expect("address"));
    let state = datapath.port_state(1).expect("state");
    assert!(state.is_healthy() && state.hooks.len() == 2, "{state:?}");
}

#[test]
fn a_pod_tap_counts_a_macvlan_inside_its_pod() {
    let Some(rig) = Rig::new("a_pod_tap_counts_a_macvlan_inside_its_pod") else { return };
    let outside = Machine::behind(9, "parent", 0);
    let pod = Machine::on_macvlan(1, "parent", port_ifindex(1));
    let datapath = rig.open();
    datapath.add_port(&tap(1, &pod, PortKind::PodTap)).expect("port");
    let send = |text: &str| outside.send(pod.v4(), text);
    let receive = || outside.receive().expect("receive").len();
    count(&datapath, &pod, send, receive, outside.v4());
    let state = datapath.port_state_in(1, pod.control.as_fd()).expect("state");
    assert!(state.is_healthy() && state.hooks.iter().all(|hook| hook.attached == Some(true)), "{state:?}");
    let state = datapath.port_state(1).expect("state");
    assert!(state.is_healthy() && state.hooks.iter().all(|hook| hook.attached.is_none()), "{state:?}");
    // The port may go before its device: frames pass, and count for nobody.
    datapath.remove_port(1).expect("remove");
    outside.reaches(&pod, pod.v4());
    datapath.add_port(&tap(1, &pod, PortKind::PodTap)).expect("port");
    assert_eq!(datapath.counters(1).expect("counters").rx_packets, 0);
}

#[test]
fn a_policer_holds_back_a_macvlan_pod() {
    let Some(rig) = Rig::new("a_policer_holds_back_a_macvlan_pod") else { return };
    let outside = Machine::behind(9, "parent", 0);
    let pod = Machine::on_macvlan(1, "parent", port_ifindex(1));
    pod.reaches(&outside, outside.v4());
    let datapath = rig.open();
    // 1 kbit/s: after the burst of ten packets nothing passes for minutes.
    let slow = Some(PolicerSpec { rate_bps: 1_000, burst_bits: 10 * 1042 * 8 });
    datapath.add_port(&PortSpec { egress: slow, ..tap(1, &pod, PortKind::PodTap) }).expect("port");
    for _ in 0..20 {
        pod.send(outside.v4(), &"x".repeat(1000));
    }
    let counters = datapath.counters(1).expect("counters");
    assert!(counters.drops["policed-from-pod"] >= 10, "{counters:?}");
    assert!(counters.tx_bytes <= 11 * 1042, "{counters:?}");
}

#[test]
fn a_guarded_tap_drops_what_a_pod_sends_under_another_address() {
    let Some(rig) = Rig::new("a_guarded_tap_drops_what_a_pod_sends_under_another_address") else { return };
    let outside = Machine::behind(9, "parent", 0);
    let pod = Machine::on_macvlan(1, "parent", port_ifindex(1));
    let datapath = rig.open();
    let guard = Guard { mac: true, ip: true };
    datapath.add_port(&PortSpec { guard, ..tap(1, &pod, PortKind::PodTap) }).expect("port");
    pod.reaches(&outside, outside.v4());
    outside.reaches(&pod, pod.v6());
    // With IPv6 the kernel would say something for itself between the two looks at the counters.
    let sysctl = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    pod.inside(|| std::fs::write(sysctl, "1")).expect("no IPv6");
    let honest = datapath.counters(1).expect("counters");
    assert_eq!(honest.drops["spoofed-ip"], 0, "{honest:?}");
    pod.inside(|| {
        ip("addr add 10.9.0.66/32 dev eth0");
        let socket = UdpSocket::bind("10.9.0.66:0").expect("bind");
        for _ in 0..3 {
            // The kernel takes a dropped packet for a full queue.
            socket.send_to(b"spoofed", (outside.v4(), PORT)).unwrap_or_default();
        }
    });
    let counters = datapath.counters(1).expect("counters");
    assert_eq!((counters.drops["spoofed-ip"], counters.tx_packets), (3, honest.tx_packets), "{counters:?}");
    pod.inside(|| ip("link set eth0 address 02:00:00:00:00:66"));
    pod.send(outside.v4(), "from another station");
    let counters = datapath.counters(1).expect("counters");
    assert!(counters.drops["spoofed-mac"] > 0, "{counters:?}");
}

#[test]
fn a_guarded_tap_drops_tags_behind_which_nobody_would_look() {
    let Some(rig) = Rig::new("a_guarded_tap_drops_tags_behind_which_nobody_would_look") else { return };
    let pod = Machine::behind(1, "pod1", port_ifindex(1));
    let datapath = rig.open();
    let guard = Guard { mac: true, ip: false };
    datapath.add_port(&PortSpec { guard, ..tap(1, &pod, PortKind::HostTap) }).expect("port");
    let kernel = Kernel::load(&rig);
    let frame = frames::ethernet([2, 0, 0, 0, 0, 9], pod.mac, 0x88b5, &[7; 50]);
    assert_eq!(kernel.tc("tap_tx", port_ifindex(1), &frame).0, TCX_NEXT);
    let tagged = frames::tagged(&frame, 0x8100, 5);
    assert_eq!(kernel.tc("tap_tx", port_ifindex(1), &tagged).0, TC_DROP);
    assert_eq!(datapath.counters(1).expect("counters").drops["tagged"], 1);
}

#[test]
fn a_pod_tap_without_a_namespace_is_refused() {
    let Some(rig) = Rig::new("a_pod_tap_without_a_namespace_is_refused") else { return };
    let pod = Machine::new(1);
    let error = rig
        .open()
        .add_port(&PortSpec { socket: None, ..tap(1, &pod, PortKind::PodTap) })
        .expect_err("refused");
    assert!(error.to_string().contains("network namespace"), "{error}");
}
