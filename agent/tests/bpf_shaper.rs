//! The shaper in the kernel: what leaves at once, what waits, what is marked, what is dropped.

mod bpf_rig;

use bpf_rig::{
    Rig, frames, ip,
    kernel::{Kernel, TC_DROP, TCX_NEXT},
};
use plexus_abi::{Direction, port_ifindex};
use plexus_agent::datapath::{Datapath, Guard, PolicerSpec, PortKind, PortSpec};
use plexus_ebpf::pure::{edt, gcra};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RATE_BPS: u64 = 1_000_000;
/// Where the first byte of the type of service is in an IPv4 frame.
const TOS: usize = 15;

/// One shaped port on a veth.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    _rig: Rig,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let datapath = rig.open();
        ip(&format!("link add name pod1 index {} type veth peer name end1", port_ifindex(1)));
        let spec = PortSpec {
            id: 1,
            kind: PortKind::HostTap,
            ifindex: port_ifindex(1),
            mac: MAC,
            ips: Vec::new(),
            guard: Guard { mac: false, ip: false },
            ingress: None,
            egress: Some(PolicerSpec { rate_bps: RATE_BPS, burst_bits: 12_000 }),
            socket: None,
        };
        datapath.add_port(&spec).expect("port");
        datapath.set_shaped(1, true).expect("shaped");
        // A restart that finds the port leaves it shaped.
        datapath.restore_port(&spec).expect("restored");
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, _rig: rig })
    }

    /// Runs a frame whose backlog is `backlog_ns`; the verdict and the frame afterwards.
    fn send(&mut self, frame: &[u8], backlog_ns: u64) -> (i32, Vec<u8>) {
        self.kernel.set_tat_ticks(1, Direction::FromPod, now_ticks().wrapping_add(gcra::ticks(backlog_ns)));
        self.kernel.tc("tap_tx", port_ifindex(1), frame)
    }

    fn horizon_ns(&self) -> u64 {
        edt::nanoseconds(edt::horizon_ticks(&self.kernel.policer(1, Direction::FromPod)))
    }
}

fn now_ticks() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("clock");
    gcra::ticks(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}

/// An IPv4 packet of UDP with these two bits of congestion notification.
fn packet(ecn: u8) -> Vec<u8> {
    let mut header = [0; 28];
    (header[0], header[1], header[8], header[9]) = (0x45, ecn, 64, 17);
    header[2..4].copy_from_slice(&28_u16.to_be_bytes());
    let sum: u32 = header[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    header[10..12].copy_from_slice(&folded.to_be_bytes());
    frames::ethernet([2; 6], MAC, 0x0800, &header)
}

#[test]
fn what_a_policer_would_drop_waits_and_is_charged_once() {
    let Some(mut bench) = Bench::new("what_a_policer_would_drop_waits_and_is_charged_once") else { return };
    let before = now_ticks();
    let backlog_ns = bench.horizon_ns() / 2;
    assert_eq!(bench.send(&packet(0), backlog_ns).0, TCX_NEXT);
    let config = bench.kernel.policer(1, Direction::FromPod);
    let charged = gcra::cost_ticks(&config, 42);
    let ahead = bench.kernel.tat_ticks(1, Direction::FromPod).wrapping_sub(before);
    assert!(ahead >= gcra::ticks(backlog_ns) + charged, "{ahead}");
    let counters = bench.datapath.counters(1).expect("counters");
    assert_eq!((counters.tx_packets, counters.drops["shaped-horizon"]), (1, 0));
}

#[test]
fn what_would_wait_beyond_the_horizon_is_dropped_under_its_own_reason_and_not_charged() {
    let test = "what_would_wait_beyond_the_horizon_is_dropped_under_its_own_reason_and_not_charged";
    let Some(mut bench) = Bench::new(test) else { return };
    // The burst of 12 ms passes at once, so it does not count; a second for the time that the test takes.
    let backlog_ns = bench.horizon_ns() + 1_100_000_000;
    let (action, _) = bench.send(&packet(0), backlog_ns);
    let tat = bench.kernel.tat_ticks(1, Direction::FromPod);
    assert_eq!(action, TC_DROP);
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &packet(0)).0, TC_DROP);
    assert_eq!(bench.kernel.tat_ticks(1, Direction::FromPod), tat, "a drop costs nothing");
    let drops = bench.datapath.counters(1).expect("counters").drops;
    assert_eq!((drops["shaped-horizon"], drops["policed-from-pod"]), (2, 0));
}

#[test]
fn a_queue_that_grows_marks_what_can_be_marked() {
    let Some(mut bench) = Bench::new("a_queue_that_grows_marks_what_can_be_marked") else { return };
    let long_ns = bench.horizon_ns() - 50_000_000;
    for (ecn, backlog_ns, expected) in [(2, long_ns, 3), (1, long_ns, 3), (0, long_ns, 0), (2, 0, 2)] {
        let (action, frame) = bench.send(&packet(ecn), backlog_ns);
        assert_eq!((action, frame[TOS] & 3), (TCX_NEXT, expected), "ECN {ecn}, backlog {backlog_ns} ns");
    }
}

#[test]
fn a_port_that_is_not_shaped_any_more_is_policed() {
    let Some(mut bench) = Bench::new("a_port_that_is_not_shaped_any_more_is_policed") else { return };
    bench.datapath.set_shaped(1, false).expect("policed");
    let backlog_ns = bench.horizon_ns() / 2;
    assert_eq!(bench.send(&packet(0), backlog_ns).0, TC_DROP);
    assert_eq!(bench.datapath.counters(1).expect("counters").drops["policed-from-pod"], 1);
}

#[test]
fn the_pods_end_of_a_veth_gives_packets_their_time_apart_from_the_policer_behind_it() {
    let test = "the_pods_end_of_a_veth_gives_packets_their_time_apart_from_the_policer_behind_it";
    let Some(bench) = Bench::new(test) else { return };
    let full = frames::ethernet([2; 6], MAC, 0x0800, &[0; 1500]);
    assert_eq!(bench.kernel.shape(1, &full), TCX_NEXT, "without a shaper everything leaves at once");
    let spec = PolicerSpec { rate_bps: RATE_BPS, burst_bits: 12_112 };
    bench.datapath.set_shaper(1, Some(spec)).expect("shaper");
    let before = bench.kernel.tat_ticks(1, Direction::FromPod);
    let sent: Vec<i32> = (0..100).map(|_| bench.kernel.shape(1, &full)).collect();
    // One of the burst and 64 that may wait, and those whose time came meanwhile: 12 ms each.
    let passed = sent.iter().filter(|action| **action == TCX_NEXT).count();
    assert!((65..95).contains(&passed), "{passed} of 100 passed");
    assert!(sent.iter().all(|action| [TCX_NEXT, TC_DROP].contains(action)), "{sent:?}");
    let counters = bench.datapath.counters(1).expect("counters");
    assert_eq!(counters.drops["shaped-horizon"], 100 - passed as u64);
    assert_eq!(counters.tx_packets, 0, "the host's end counts");
    assert_eq!(bench.kernel.tat_ticks(1, Direction::FromPod), before, "and polices with a state of its own");
    bench.datapath.set_shaper(1, None).expect("no shaper");
    assert_eq!(bench.kernel.shape(1, &full), TCX_NEXT);
    assert_eq!(bench.kernel.shape(9, &full), TCX_NEXT, "a port that is gone holds nothing back");
}
