//! Single frames for whoever looks: samples of drops, captures, and what limits them.

mod bpf_rig;

use std::net::Ipv4Addr;

use bpf_rig::{
    Rig,
    frames::{self, ARP, BROADCAST, ICMPV6, IPV4, IPV6, UDP},
    ifindex,
    kernel::Kernel,
    pod::{Machine, fastpath},
};
use plexus_abi::{DropReason, port_id, port_ifindex};
use plexus_agent::datapath::{
    Datapath, DatapathError, Forwarding, Guard, Limits, NetworkSpec, PolicerSpec, PortSpec, Seen, Sight,
    XdpChoice,
};

const MINE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 9];
const VLAN: u16 = 100;
const SOME: Limits = Limits { samples: 8, frames: 8, bytes: 64 << 10 };

/// Two guarded pods on a VLAN of an uplink, and one alone on a network without uplink.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    sight: Sight,
    uplink: u32,
    one: Machine,
    two: Machine,
    _outside: Machine,
    rig: Rig,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let outside = Machine::behind(9, "uplink", 0);
        let uplink = ifindex("uplink");
        let datapath = rig.open();
        let network = NetworkSpec {
            id: 1,
            uplink_ifindex: Some(uplink),
            vlan: VLAN,
            xdp: XdpChoice::Always,
            forwarding: Forwarding::default(),
        };
        datapath.upsert_network(&network).expect("network");
        let (one, two) = (pod(1), pod(2));
        for (id, machine) in [(1, &one), (2, &two)] {
            let guard = Guard { mac: true, ip: true };
            let spec = PortSpec { guard, ..fastpath(id, machine, 1, VLAN) };
            datapath.add_port(&spec).expect("port");
        }
        let kernel = Kernel::load(&rig);
        let sight = datapath.sight().expect("sight");
        Some(Self { datapath, kernel, sight, uplink, one, two, _outside: outside, rig })
    }

    fn send(&self, frame: &[u8]) {
        self.kernel.tc("port_tc", port_ifindex(1), frame);
    }

    fn seen(&mut self) -> Vec<Seen> {
        self.sight.take(1000)
    }

    fn own_v4(&self) -> Ipv4Addr {
        v4(&self.one)
    }
}

/// A pod that says nothing for itself: with IPv6 the kernel would.
fn pod(number: u8) -> Machine {
    let pod = Machine::behind(number, &format!("pod{number}"), port_ifindex(number.into()));
    pod.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1")).expect("no IPv6");
    pod
}

fn v4(machine: &Machine) -> Ipv4Addr {
    match machine.v4() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

fn datagram(to: [u8; 6], from: Ipv4Addr, bytes: usize) -> Vec<u8> {
    let payload = frames::udp(1000, 2000, &vec![7; bytes]);
    frames::ethernet(to, MINE, IPV4, &frames::ipv4(from, Ipv4Addr::new(10, 9, 0, 2), UDP, &payload))
}

#[test]
fn every_reason_of_the_guard_is_sampled_with_its_frame() {
    let Some(mut bench) = Bench::new("every_reason_of_the_guard_is_sampled_with_its_frame") else { return };
    let own = bench.own_v4();
    let plain = datagram(PEER, own, 10);
    let foreign = Ipv4Addr::new(10, 9, 0, 77);
    let advertisement = |kind: u8| {
        frames::ipv6(
            "fe80::ff:fe00:1".parse().expect("address"),
            "ff02::1".parse().expect("address"),
            ICMPV6,
            &frames::icmpv6(kind, &[0; 36]),
        )
    };
    let cases = [
        (DropReason::Malformed, frames::ethernet(PEER, BROADCAST, IPV4, &[0; 30])),
        (DropReason::Tagged, frames::tagged(&plain, 0x8100, 5)),
        (DropReason::SpoofedMac, frames::ethernet(PEER, PEER, IPV4, &[0; 30])),
        (DropReason::SpoofedIp, datagram(PEER, foreign, 10)),
        (DropReason::SpoofedArp, frames::ethernet(BROADCAST, MINE, ARP, &frames::arp(1, PEER, own, own))),
        (DropReason::SpoofedNd, frames::ethernet(PEER, MINE, IPV6, &advertisement(137))),
        (DropReason::RouterAdvertisement, frames::ethernet(PEER, MINE, IPV6, &advertisement(134))),
        (
            DropReason::ReservedDestination,
            frames::ethernet([0x01, 0x80, 0xc2, 0, 0, 0x0e], MINE, 0x88cc, &[0; 46]),
        ),
        // To its own MAC; to a MAC of nobody it would leave by the uplink.
        (DropReason::UnknownDestination, datagram(MINE, own, 10)),
    ];
    for (reason, frame) in cases {
        bench.sight.open_window(SOME).expect("window");
        bench.send(&frame);
        let seen = bench.seen();
        assert_eq!(seen.len(), 1, "{reason:?}: {seen:?}");
        assert_eq!((seen[0].reason, seen[0].port, seen[0].is_from_pod), (Some(reason), 1, true));
        // In a test run the kernel pads nothing and takes a tag out of nothing.
        assert_eq!(seen[0].bytes, frame[..frame.len().min(128)], "{reason:?}");
        assert_eq!(seen[0].frame_bytes as usize, frame.len(), "{reason:?}");
    }
    bench.sight.open_window(SOME).expect("window");
    // A device that is no port, as one that is being removed.
    bench.kernel.tc("port_tc", bench.uplink, &plain);
    let seen = bench.seen();
    assert_eq!((seen[0].reason, seen[0].port), (Some(DropReason::NotConfigured), port_id(bench.uplink)));
    assert!(seen[0].unix_ns > 1_600_000_000_000_000_000, "{}", seen[0].unix_ns);
}

#[test]
fn policed_frames_are_sampled_in_both_directions_by_tc_and_xdp() {
    let Some(mut bench) = Bench::new("policed_frames_are_sampled_in_both_directions_by_tc_and_xdp") else {
        return;
    };
    let slow = Some(PolicerSpec { rate_bps: 1_000, burst_bits: 8 });
    let frame = datagram(PEER, bench.own_v4(), 500);
    let policed = |bench: &mut Bench, run: &dyn Fn(&Bench)| {
        bench.sight.open_window(SOME).expect("window");
        // A policer lets single packets pass at the rate: the second is above it.
        (0..4).for_each(|_| run(bench));
        bench.seen().pop().expect("a sample")
    };
    bench.datapath.set_policers(1, None, slow).expect("policers");
    let seen = policed(&mut bench, &|bench| bench.send(&frame));
    assert_eq!((seen.reason, seen.port, seen.is_from_pod), (Some(DropReason::PolicedFromPod), 1, true));
    bench.datapath.set_policers(1, None, None).expect("policers");
    bench.datapath.set_policers(2, slow, None).expect("policers");
    let seen = policed(&mut bench, &|bench| bench.send(&frame));
    assert_eq!((seen.reason, seen.port, seen.is_from_pod), (Some(DropReason::PolicedToPod), 2, false));
    let arriving = frames::tagged(&frames::ethernet(PEER, OUTSIDE, 0x88b5, &[7; 400]), 0x8100, VLAN);
    let seen = policed(&mut bench, &|bench| {
        bench.kernel.xdp(bench.uplink, &arriving);
    });
    assert_eq!((seen.reason, seen.port, seen.is_from_pod), (Some(DropReason::PolicedToPod), 2, false));
    assert_eq!((seen.bytes.as_slice(), seen.frame_bytes), (&arriving[..128], 418));
}

#[test]
fn nothing_is_written_while_nobody_looks() {
    let Some(mut bench) = Bench::new("nothing_is_written_while_nobody_looks") else { return };
    let spoofed = datagram(PEER, Ipv4Addr::new(10, 9, 0, 77), 10);
    bench.send(&spoofed);
    assert_eq!(bench.seen(), []);
    bench.sight.open_window(SOME).expect("window");
    bench.send(&spoofed);
    assert_eq!(bench.seen().len(), 1);
    bench.sight.close().expect("close");
    bench.send(&spoofed);
    assert_eq!(bench.seen(), []);
    // A plexusd that starts finds what a killed one left on, and turns it off.
    bench.sight.open_window(SOME).expect("window");
    bench.datapath.begin_capture(1, 1000).expect("capture");
    bench.datapath = bench.rig.open();
    bench.send(&spoofed);
    bench.send(&datagram(PEER, bench.own_v4(), 10));
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.datapath.capture_totals(1).expect("totals"), None);
    assert!(bench.datapath.port_state(1).expect("state").is_healthy());
}

#[test]
fn a_flood_of_drops_writes_what_a_window_allows_and_counts_the_rest() {
    let Some(mut bench) = Bench::new("a_flood_of_drops_writes_what_a_window_allows_and_counts_the_rest")
    else {
        return;
    };
    let spoofed = datagram(PEER, Ipv4Addr::new(10, 9, 0, 77), 10);
    let dropped =
        |bench: &Bench| bench.datapath.counters(1).expect("counters").drops[DropReason::SpoofedIp.as_str()];
    bench.sight.open_window(SOME).expect("window");
    let (before, counted) = (bench.sight.suppressed().expect("count"), dropped(&bench));
    (0..1000).for_each(|_| bench.send(&spoofed));
    let cpus = std::thread::available_parallelism().expect("CPUs").get();
    let seen = bench.seen().len();
    assert!((8..=8 * cpus).contains(&seen), "{seen} samples on {cpus} CPUs");
    assert_eq!(bench.sight.suppressed().expect("count") - before, 1000 - seen as u64);
    assert_eq!(dropped(&bench) - counted, 1000);
    // Nobody opened another window: a plexusd that died costs nothing more.
    (0..1000).for_each(|_| bench.send(&spoofed));
    assert!(bench.seen().len() <= 8 * cpus - seen);
    bench.sight.open_window(SOME).expect("window");
    bench.send(&spoofed);
    assert_eq!(bench.seen().len(), 1);
}

#[test]
fn a_capture_has_what_a_port_sends_and_gets_with_what_was_dropped() {
    let Some(mut bench) = Bench::new("a_capture_has_what_a_port_sends_and_gets_with_what_was_dropped") else {
        return;
    };
    let own = bench.own_v4();
    let limits = Limits { samples: 0, ..SOME };
    bench.datapath.begin_capture(1, 9216).expect("capture");
    bench.datapath.begin_capture(2, 100).expect("capture");
    bench.sight.open_window(limits).expect("window");
    let (large, spoofed) = (datagram(PEER, own, 3000), datagram(PEER, Ipv4Addr::new(10, 9, 0, 77), 10));
    bench.send(&large);
    bench.send(&spoofed);
    // Out of the uplink: as the pod sent it, without the network's tag.
    let away = datagram(OUTSIDE, own, 10);
    bench.send(&away);
    let arriving = frames::ethernet(MINE, OUTSIDE, 0x88b5, &[7; 400]);
    let tagged = frames::tagged(&arriving, 0x8100, VLAN);
    // XDP leaves a captured port to tc.
    assert_eq!(bench.kernel.xdp(bench.uplink, &tagged).0, bpf_rig::kernel::XDP_PASS);
    bench.kernel.tc("uplink_tc", bench.uplink, &tagged);
    let seen = bench.seen();
    let of = |port: u32| -> Vec<(bool, Option<DropReason>, &[u8], u32)> {
        let own = seen.iter().filter(|seen| seen.port == port && seen.is_capture);
        own.map(|seen| (seen.is_from_pod, seen.reason, seen.bytes.as_slice(), seen.frame_bytes)).collect()
    };
    let bytes = |frame: &[u8]| u32::try_from(frame.len()).expect("short");
    assert_eq!(
        of(1),
        [
            (true, None, large.as_slice(), bytes(&large)),
            (true, Some(DropReason::SpoofedIp), spoofed.as_slice(), bytes(&spoofed)),
            (true, None, away.as_slice(), bytes(&away)),
            (false, None, arriving.as_slice(), bytes(&arriving)),
        ]
    );
    assert_eq!(of(2), [(false, None, &large[..100], bytes(&large))]);
    let totals = bench.datapath.capture_totals(1).expect("totals").expect("a capture");
    assert_eq!((totals.frames, totals.lost), (4, 0));
    bench.datapath.end_capture(1).expect("end");
    bench.datapath.end_capture(2).expect("end");
    bench.send(&large);
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.kernel.xdp(bench.uplink, &tagged).0, bpf_rig::kernel::XDP_REDIRECT);
}

#[test]
fn a_capture_loses_what_is_above_its_limits_and_counts_it() {
    let Some(mut bench) = Bench::new("a_capture_loses_what_is_above_its_limits_and_counts_it") else {
        return;
    };
    bench.datapath.begin_capture(1, 9216).expect("capture");
    bench.sight.open_window(Limits { samples: 0, frames: 5, bytes: 10_000 }).expect("window");
    let frame = datagram(PEER, bench.own_v4(), 100);
    (0..50).for_each(|_| bench.send(&frame));
    let totals = bench.datapath.capture_totals(1).expect("totals").expect("a capture");
    assert_eq!((totals.frames, totals.lost), (bench.seen().len() as u64, 50 - totals.frames));
    assert!(totals.frames >= 5 && totals.lost > 0, "{totals:?}");
}

#[test]
fn a_port_is_captured_once_and_a_capture_ends_with_its_port() {
    let Some(bench) = Bench::new("a_port_is_captured_once_and_a_capture_ends_with_its_port") else { return };
    bench.datapath.begin_capture(1, 100).expect("capture");
    let refused = |result: Result<(), DatapathError>| result.expect_err("refused").to_string();
    assert!(refused(bench.datapath.begin_capture(1, 100)).contains("already"));
    assert!(refused(bench.datapath.begin_capture(7, 100)).contains("does not exist"));
    // Adding it again, as every start does, changes nothing.
    let guard = Guard { mac: true, ip: true };
    let spec = PortSpec { guard, ..fastpath(1, &bench.one, 1, VLAN) };
    bench.datapath.add_port(&spec).expect("the same port");
    assert!(bench.datapath.capture_totals(1).expect("totals").is_some());
    bench.datapath.remove_port(1).expect("remove");
    assert_eq!(bench.datapath.capture_totals(1).expect("totals"), None);
    bench.datapath.end_capture(1).expect("nothing is left to end");
    let spec = PortSpec { guard, ..fastpath(2, &bench.two, 1, VLAN) };
    bench.datapath.add_port(&spec).expect("the other port is as it was");
}

/// A report, not a judgement: what looking costs where a frame is dropped.
#[test]
fn what_a_drop_costs_is_told() {
    let Some(mut bench) = Bench::new("what_a_drop_costs_is_told") else { return };
    let spoofed = datagram(PEER, Ipv4Addr::new(10, 9, 0, 77), 10);
    let cost = |bench: &Bench| bench.kernel.tc_cost_ns("port_tc", port_ifindex(1), &spoofed);
    let accepted = bench.kernel.tc_cost_ns("port_tc", port_ifindex(1), &datagram(PEER, bench.own_v4(), 10));
    let unseen = cost(&bench);
    bench.sight.open_window(SOME).expect("window");
    let above_the_limit = cost(&bench);
    bench.sight.open_window(Limits { samples: u32::MAX, ..SOME }).expect("window");
    let sampled = cost(&bench);
    println!(
        "ns per frame: {accepted} accepted, {unseen} dropped while nobody looks, {above_the_limit} dropped above the \
         limit, {sampled} while all are sampled until the ring is full"
    );
}
