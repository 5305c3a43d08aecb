//! The policer in the kernel against its model, and what packets weigh.

mod bpf_rig;

use std::cell::Cell;

use bpf_rig::{
    Rig, frames, ip,
    kernel::{Kernel, TC_DROP, TCX_NEXT},
};
use plexus_abi::{Direction, PolicerConfig, port_ifindex};
use plexus_agent::datapath::{Datapath, Guard, PolicerSpec, PortKind, PortSpec};
use plexus_ebpf::pure::gcra;
use proptest::{prelude::*, test_runner::TestRunner};

/// Seconds between the real clock and every decision that the test looks at: what passes while it runs is nothing.
const MARGIN_TICKS: u64 = gcra::ticks(60_000_000_000);

/// One tapped port on a veth.
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
        let port = PortSpec {
            id: 1,
            kind: PortKind::HostTap,
            ifindex: port_ifindex(1),
            mac: [2, 0, 0, 0, 0, 1],
            ips: Vec::new(),
            guard: Guard { mac: false, ip: false },
            ingress: None,
            egress: None,
            socket: None,
        };
        datapath.add_port(&port).expect("port");
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, _rig: rig })
    }

    fn police_from_pod(&self, rate_bps: u64, burst_bits: u64) {
        self.datapath.set_policers(1, None, Some(PolicerSpec { rate_bps, burst_bits })).expect("policer");
    }
}

fn frame(bytes: usize) -> Vec<u8> {
    frames::ethernet([2; 6], [2, 0, 0, 0, 0, 1], 0x88b5, &vec![0; bytes - 14])
}

/// The kernel's monotonic clock in ticks.
fn now_ticks() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("clock");
    gcra::ticks(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}

fn stay_on_one_processor() {
    let mut set = nix::sched::CpuSet::new();
    set.set(0).expect("processor 0");
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("affinity");
}

/// What the model charges the shared word for a packet, in ticks, if the packet passes.
fn pay(lease: &Cell<u64>, tat: u64, cost: u64, config: &PolicerConfig) -> Option<u64> {
    if let Some(left) = gcra::spend(lease.get(), cost, config) {
        lease.set(left);
        return Some(0);
    }
    let (next, leased) = gcra::admit_leased(tat, now_ticks(), now_ticks, cost, config)?;
    if leased != 0 {
        lease.set(leased);
    }
    Some(next.wrapping_sub(tat))
}

#[test]
fn the_kernel_decides_as_the_model_does() {
    let Some(mut bench) = Bench::new("the_kernel_decides_as_the_model_does") else { return };
    let bench = std::cell::RefCell::new(&mut bench);
    // A burst of hours and a backlog of minutes: real time does not matter, the arithmetic does.
    let rates = 1_000_u64..400_000_000_000;
    let sizes = proptest::collection::vec(60_usize..3500, 1..30);
    let mut runner = TestRunner::deterministic();
    // Each processor has a lease of its own; the model follows one.
    stay_on_one_processor();
    let lease = Cell::new(0);
    let strategy = (rates, 300_u64..4_000_000, 120_u64..4_000_000, sizes);
    runner
        .run(&strategy, |(rate_bps, burst_seconds, backlog_seconds, sizes)| {
            let mut bench = bench.borrow_mut();
            let burst_bits = rate_bps.saturating_mul(burst_seconds);
            bench.police_from_pod(rate_bps, burst_bits);
            let config = bench.kernel.policer(1, Direction::FromPod);
            let mut tat = now_ticks().wrapping_add(gcra::ticks(backlog_seconds * 1_000_000_000));
            bench.kernel.set_tat_ticks(1, Direction::FromPod, tat);
            for bytes in sizes {
                let cost = gcra::cost_ticks(&config, u32::try_from(bytes).expect("short"));
                let backlog = gcra::backlog(tat, now_ticks());
                let distance = config.limit_ticks.abs_diff(backlog + cost);
                if distance < MARGIN_TICKS {
                    continue;
                }
                let model = pay(&lease, tat, cost, &config);
                let (action, _) = bench.kernel.tc("tap_tx", port_ifindex(1), &frame(bytes));
                prop_assert_eq!(action, if model.is_some() { TCX_NEXT } else { TC_DROP });
                tat = model.map_or(tat, |paid| tat.wrapping_add(paid));
                prop_assert_eq!(bench.kernel.tat_ticks(1, Direction::FromPod), tat);
            }
            Ok(())
        })
        .expect("the model");
}

#[test]
fn a_full_bucket_lets_one_large_packet_pass_on_credit() {
    let Some(bench) = Bench::new("a_full_bucket_lets_one_large_packet_pass_on_credit") else { return };
    bench.police_from_pod(1_000, 8);
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &frame(1500)).0, TCX_NEXT);
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &frame(60)).0, TC_DROP);
    let counters = bench.datapath.counters(1).expect("counters");
    assert_eq!((counters.tx_packets, counters.tx_bytes), (1, 1500));
    assert_eq!(counters.drops["policed-from-pod"], 1);
}

#[test]
fn directions_have_buckets_of_their_own() {
    let Some(bench) = Bench::new("directions_have_buckets_of_their_own") else { return };
    let slow = Some(PolicerSpec { rate_bps: 1_000, burst_bits: 8 });
    bench.datapath.set_policers(1, slow, slow).expect("policers");
    for (program, reason) in [("tap_tx", "policed-from-pod"), ("tap_rx", "policed-to-pod")] {
        assert_eq!(bench.kernel.tc(program, port_ifindex(1), &frame(1500)).0, TCX_NEXT);
        assert_eq!(bench.kernel.tc(program, port_ifindex(1), &frame(1500)).0, TC_DROP);
        assert_eq!(bench.datapath.counters(1).expect("counters").drops[reason], 1);
    }
}

#[test]
fn a_new_rate_gives_no_free_burst() {
    let Some(bench) = Bench::new("a_new_rate_gives_no_free_burst") else { return };
    bench.police_from_pod(1_000, 8);
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &frame(1500)).0, TCX_NEXT);
    bench.police_from_pod(1_001, 8);
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &frame(1500)).0, TC_DROP);
    bench.datapath.set_policers(1, None, None).expect("no policer");
    assert_eq!(bench.kernel.tc("tap_tx", port_ifindex(1), &frame(1500)).0, TCX_NEXT);
}

#[test]
fn an_offload_packet_weighs_what_its_segments_weigh() {
    let Some(bench) = Bench::new("an_offload_packet_weighs_what_its_segments_weigh") else { return };
    let mut tcp = vec![0; 20];
    tcp[12] = 0x50;
    tcp.extend(vec![0; 3 * 1000]);
    let packet = frames::ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, &tcp);
    let frame = frames::ethernet([2; 6], [2, 0, 0, 0, 0, 1], frames::IPV4, &packet);
    bench.kernel.tc_segmented("tap_tx", port_ifindex(1), &frame, 3, 1000);
    let counters = bench.datapath.counters(1).expect("counters");
    assert_eq!((counters.tx_packets, counters.tx_bytes), (3, 3 * 1054));
}
