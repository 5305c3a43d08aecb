//! The time of one run of a program, by BPF_PROG_TEST_RUN: no device, no queue, only the program.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use plexus_agent::lab::Host;
use plexus_agent::lab::link::ip;

use super::ports::{Features, Ports};
use crate::args::ForwardOptions;
use crate::packets::forwarder::Forwarder;
use crate::packets::frame::SHORTEST;
use crate::report::Figures;
use crate::screen::Screen;

/// Runs of one measurement where the same frame is enough.
const RUNS: u32 = 200_000;
/// Ports of the larger data plane.
const MANY: u32 = 1_000;
/// Runs per port in the comparison of port counts: few, so that most find a port that was not the last one's.
const RUNS_PER_PORT: u32 = 8;

/// Times Plexus with everything on, without its parts, the least program, and Plexus with few and with many ports, in turns.
pub(super) fn measure(options: &ForwardOptions, screen: &Screen) -> Result<BTreeMap<String, Figures>> {
    let host = Host::enter()?;
    crate::packets::wiring::quiet()?;
    ip(&["link", "add", "least-a", "type", "veth", "peer", "name", "least-b"])?;
    let least = Forwarder::redirect_peer("least-a", "least-b")?;
    let progress = screen.progress("cost of one run", options.rounds.into());
    let ports =
        |name: &str, first, count, features| Ports::add(&host.bpffs().join(name), first, count, features);
    let one = ports("all", 0, 2, Features::ALL)?;
    let unlimited = ports("no-limits", 2, 2, Features { limits: false, ..Features::ALL })?;
    let trusted = ports("no-guard", 4, 2, Features { guard: false, ..Features::ALL })?;
    let bare = ports("bare", 6, 2, Features { guard: false, limits: false })?;
    let many = ports("many", 8, MANY, Features::ALL)?;
    let frame = vec![0; SHORTEST];
    let mut samples: [(&str, Vec<f64>); 7] = [
        "cost_tc.redirect_peer",
        "cost_tc.plexus",
        "cost_tc.plexus_without_limits",
        "cost_tc.plexus_without_guard",
        "cost_tc.plexus_without_both",
        "cost_ports.1",
        "cost_ports.1000",
    ]
    .map(|name| (name, Vec::new()));
    // The first round warms up.
    for round in 0..=options.rounds {
        let seen = [
            least.time_tc(&frame, RUNS)?,
            one.time(0, RUNS)?,
            unlimited.time(0, RUNS)?,
            trusted.time(0, RUNS)?,
            bare.time(0, RUNS)?,
            in_turn(&one)?,
            in_turn(&many)?,
        ];
        if round > 0 {
            for ((_, samples), seen) in samples.iter_mut().zip(seen) {
                samples.push(seen.as_secs_f64() * 1e9);
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    ensure!(samples.iter().all(|(_, samples)| samples.iter().any(|it| *it > 0.0)), "a program took no time");
    let figures = samples
        .iter()
        .filter_map(|(name, samples)| Some(((*name).to_owned(), Figures::of_rounds(samples, "ns/run")?)));
    Ok(figures.collect())
}

/// The mean time of a run when port follows port.
fn in_turn(ports: &Ports) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for port in 0..MANY {
        sum += ports.time(port, RUNS_PER_PORT)?;
    }
    Ok(sum / MANY)
}
