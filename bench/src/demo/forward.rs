//! Packets pod to pod, pod to outside and back, below every limit: none may be lost, and the counters must agree.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use plexus_agent::lab::traffic::tcp::transfer;
use plexus_agent::lab::traffic::{Flow, FlowSpec};

use super::agent::received_packets;
use super::report::{DemoReport, FlowLine};
use super::stage::Stage;
use super::station::{Station, named};
use crate::screen::Screen;

/// The fastpath network of the examples.
pub(super) const FASTPATH: &str = "default/blue";
/// Where receivers listen.
pub(super) const PORT: u16 = 5201;
/// Other frames that a pod may get meanwhile: ARP, neighbour discovery.
const STRAY_PACKETS_MAX: u64 = 100;
/// Who sends to whom, on which network.
const FLOWS: [(&str, &str, &str); 6] = [
    ("pod-a", "pod-b", FASTPATH),
    ("pod-b", "pod-a", FASTPATH),
    ("pod-a", "outside", FASTPATH),
    ("outside", "pod-a", FASTPATH),
    ("outside", "pod-b", FASTPATH),
    ("outside", "pod-a", "default/lan"),
];

/// Sends the flows one after the other, then a TCP connection.
pub(super) fn packets(
    stage: &Stage,
    stations: &[Station],
    screen: &mut Screen,
    report: &mut DemoReport,
) -> Result<()> {
    screen.heading("Forward");
    for (from, to, network) in FLOWS {
        flow(stage, (named(stations, from)?, named(stations, to)?), network, screen, report)?;
    }
    tcp(stations, screen, report)
}

fn flow(
    stage: &Stage,
    (from, to): (&Station, &Station),
    network: &str,
    screen: &mut Screen,
    report: &mut DemoReport,
) -> Result<()> {
    let spec = FlowSpec {
        to: SocketAddr::new(to.address_on(network)?, PORT),
        rate_pps: 5_000,
        payload_bytes: 200,
        duration: Duration::from_millis(600),
        warm_up: Duration::ZERO,
    };
    let pod = format!("default/{}", to.name);
    let is_counted = to.name != "outside";
    let before = if is_counted { received_packets(stage, &pod, network)? } else { 0 };
    let seen = Flow::start(&from.netns, &to.netns, spec)?.wait()?;
    screen.expect(
        seen.sent > 0 && seen.lost == 0 && seen.duplicated == 0,
        &format!("{} → {} on {network}", from.name, to.name),
        &format!("{} datagrams sent, {} lost", seen.sent, seen.lost),
    );
    if is_counted {
        let counted = received_packets(stage, &pod, network)? - before;
        screen.expect(
            (seen.received..=seen.received + STRAY_PACKETS_MAX).contains(&counted),
            &format!("  the counters of {} agree", to.name),
            &format!("{counted} packets counted, {} datagrams received", seen.received),
        );
    }
    report.forwarded_packets += seen.received;
    report.flows.push(FlowLine {
        from: from.name.clone(),
        to: to.name.clone(),
        network: network.to_owned(),
        sent: seen.sent,
        received: seen.received,
        lost: seen.lost,
    });
    Ok(())
}

/// Large segments: what a policer must charge with their length on the wire.
fn tcp(stations: &[Station], screen: &mut Screen, report: &mut DemoReport) -> Result<()> {
    let (from, to) = (named(stations, "pod-b")?, named(stations, "outside")?);
    let address = SocketAddr::new(to.address_on(FASTPATH)?, PORT);
    let moved = transfer(&from.netns, &to.netns, address, Duration::from_millis(1_500))?;
    #[expect(clippy::cast_precision_loss, reason = "bits of 1.5 s are far below 2^53")]
    let bps = (moved.bytes * 8) as f64 / moved.elapsed.as_secs_f64();
    screen.expect(
        moved.bytes > 0,
        &format!("{} → {} on {FASTPATH}, TCP", from.name, to.name),
        &format!("{:.1} Mbit/s through the policer", bps / 1e6),
    );
    report.tcp_goodput_bps = Some(bps);
    Ok(())
}
