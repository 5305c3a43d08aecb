//! `plexus-bench forward`: packets per second, TCP, round trips, the cost of a packet, and restarts under load.
//!
//! ```text
//!   pod → pod          plexus │ kernel bridge │ redirect_peer alone │ macvlan (TCP only: it takes no live frames)
//!   uplink → pod       plexus │ devmap redirect alone │ macvlan
//! ```
//! All arms take turns within each round on one host. Frames come from BPF_PROG_TEST_RUN (live frames) on CPU 0, and
//! whatever forwards and counts them runs on that CPU too: a rate is the inverse of the time that one packet takes, the
//! making of the frame included.

mod arm;
mod cost;
mod drops;
mod ports;
mod restart;
mod rounds;
mod routes;
mod runtime;
mod stage;
mod tcp;
mod waterfall;

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::args::ForwardOptions;
use crate::profile;
use crate::publish::publish;
use crate::report::BenchReport;
use crate::screen::Screen;
use stage::Stage;

/// What the time per packet explains.
const PPS_RATIOS: [&str; 6] = [
    "pod_pod_vs_bridge_pps",
    "pod_pod_vs_redirect_peer_pps",
    "uplink_pod_vs_devmap_pps",
    "uplink_pod_stack_vs_devmap_pps",
    "uplink_pod_vs_macvlan_pps",
    "uplink_pod_xdp_vs_macvlan_pps",
];

/// Measures, shows the figures and writes the report. A wish that is not met is shown, it is no failure.
pub(crate) fn verb(options: &ForwardOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = BenchReport::begin("forward");
    screen.heading("Forwarding");
    let runtime;
    {
        let mut stage = Stage::build(options.common.bin_dir.as_deref())?;
        report.arms.extend(tcp::measure(&stage, options, screen)?);
        stage.take_live_frames()?;
        let arms = stage.arms()?;
        report.arms.extend(rounds::measure(&arms, options, screen)?);
        runtime = runtime::measure(&arms, options, screen)?;
        drop(arms);
        report.arms.extend(drops::measure(&stage, options, screen)?);
        restart::measure(&mut stage, options, screen, &mut report)?;
    }
    report.arms.extend(cost::measure(options, screen)?);
    conditions(options, &mut report);
    ratios(&mut report);
    profile::add(&mut report, "time_per_packet", runtime, &PPS_RATIOS);
    if let Some(waterfall) = waterfall::profile(&report) {
        profile::add(&mut report, "cost_of_a_run", waterfall, &["features_overhead_ns", "ports_1000_vs_1"]);
    }
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}

fn conditions(options: &ForwardOptions, report: &mut BenchReport) {
    report.conditions.extend([
        ("rounds", json!(options.rounds)),
        ("seconds", json!(options.seconds)),
        ("generator", json!("BPF_PROG_TEST_RUN, live frames, batches of 64, 8 flows, CPU 0")),
        ("frame_bytes_without_fcs", json!(crate::packets::frame::SHORTEST)),
        ("links", json!("veth, one queue; GRO on where frames enter, in every arm; rxvlan off on uplinks")),
        ("bridge_nf", json!("off, or br_netfilter not loaded")),
        ("receivers", json!("xdp: dropped in XDP (macvlan: generic XDP); stack and pod_pod: dropped at tc ingress")),
        ("plexus_guard", json!("MAC and IP spoofing dropped, counters on, no limit")),
        ("drops", json!("a pod's frames with a foreign MAC; beside_drops: every other frame is good; follower: plexusctl drops --follow")),
        ("cpu", json!("CPU time of the generator's thread, with the soft interrupts that it is charged with, per packet")),
    ]);
}

fn ratios(report: &mut BenchReport) {
    for (name, of, to) in [
        ("pod_pod_vs_bridge_pps", "pod_pod.plexus", "pod_pod.bridge"),
        ("pod_pod_vs_redirect_peer_pps", "pod_pod.plexus", "pod_pod.redirect_peer"),
        ("uplink_pod_vs_devmap_pps", "uplink_pod_xdp.plexus", "uplink_pod_xdp.devmap"),
        ("uplink_pod_stack_vs_devmap_pps", "uplink_pod_stack.plexus", "uplink_pod_stack.devmap"),
        ("uplink_pod_vs_macvlan_pps", "uplink_pod_stack.plexus", "uplink_pod_stack.macvlan"),
        ("uplink_pod_xdp_vs_macvlan_pps", "uplink_pod_xdp.plexus", "uplink_pod_xdp.macvlan"),
        ("pod_pod_tcp_vs_bridge", "tcp.plexus", "tcp.bridge"),
        ("pod_pod_tcp_vs_macvlan", "tcp.plexus", "tcp.macvlan"),
        ("pod_pod_rr_vs_bridge", "rr.plexus", "rr.bridge"),
        ("pod_pod_rr_vs_macvlan", "rr.plexus", "rr.macvlan"),
        ("ports_1000_vs_1", "cost_ports.1000", "cost_ports.1"),
        ("routes_100k_vs_10", "cost_routes.100000", "cost_routes.10"),
        ("routes_first_100k_vs_10", "cost_routes_first.100000", "cost_routes_first.10"),
    ] {
        report.compare(name, of, to);
    }
    drops::ratios(report);
    let overhead = report.median("cost_tc.plexus").zip(report.median("cost_tc.redirect_peer"));
    if let Some((all, least)) = overhead {
        report.ratios.insert("features_overhead_ns", all - least);
    }
}
