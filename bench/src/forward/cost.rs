//! The time of one run of a program, by BPF_PROG_TEST_RUN: no device, no queue, only the program.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use plexus_agent::datapath::Guard;
use plexus_agent::lab::Host;
use plexus_agent::lab::link::ip;

use super::ports::{Features, Limits, Ports};
use crate::args::ForwardOptions;
use crate::packets::alone::Alone;
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
/// Single steps, each a program of its own.
const ALONE: [&str; 5] = ["nothing", "call_nothing", "look_up", "count_once", "read_clock"];

/// Times Plexus with everything on, without its parts, the least program, and Plexus with few and with many ports, in turns.
pub(super) fn measure(options: &ForwardOptions, screen: &Screen) -> Result<BTreeMap<String, Figures>> {
    let host = Host::enter()?;
    crate::packets::wiring::quiet()?;
    ip(&["link", "add", "least-a", "type", "veth", "peer", "name", "least-b"])?;
    let least = Forwarder::redirect_peer("least-a", "least-b")?;
    let progress = screen.progress("cost of one run", options.rounds.into());
    let ports =
        |name: &str, first, count, features| Ports::add(&host.bpffs().join(name), first, count, features);
    let off = Features { guard: Guard { mac: false, ip: false }, limits: Limits::Neither };
    let only_mac = Features { guard: Guard { mac: true, ip: false }, ..off };
    let guarded = Features { limits: Limits::Neither, ..Features::ALL };
    let one = ports("all", 0, 2, Features::ALL)?;
    let variants = vec![
        ("cost_tc.plexus_without_limits", ports("no-limits", 2, 2, guarded)?),
        (
            "cost_tc.plexus_without_guard",
            ports("no-guard", 4, 2, Features { guard: off.guard, ..Features::ALL })?,
        ),
        ("cost_tc.plexus_without_both", ports("bare", 6, 2, off)?),
        ("cost_tc.plexus_only_mac_guard", ports("mac", 8, 2, only_mac)?),
        (
            "cost_tc.plexus_one_limit",
            ports("one-limit", 10, 2, Features { limits: Limits::Sending, ..Features::ALL })?,
        ),
    ];
    let routes = super::routes::measure(&host, options, screen)?;
    let many = ports("many", 12, MANY, Features::ALL)?;
    let mut alone = Vec::new();
    for name in ALONE {
        alone.push((format!("cost_alone.{name}"), Alone::load(name)?));
    }
    let frame = vec![0; SHORTEST];
    let mut samples = BTreeMap::<String, Vec<f64>>::new();
    // The first round warms up.
    for round in 0..=options.rounds {
        let mut record = |name: &str, time: Duration| {
            if round > 0 {
                samples.entry(name.to_owned()).or_default().push(time.as_secs_f64() * 1e9);
            }
        };
        record("cost_tc.redirect_peer", least.time_tc(&frame, RUNS)?);
        record("cost_tc.plexus", one.time(0, RUNS)?);
        for (name, ports) in &variants {
            record(name, ports.time(0, RUNS)?);
        }
        for (name, program) in &alone {
            record(name, program.time(&frame, RUNS)?);
        }
        record("cost_ports.1", in_turn(&one)?);
        record("cost_ports.1000", in_turn(&many)?);
        progress.inc(u64::from(round > 0));
    }
    progress.finish_and_clear();
    ensure!(samples.values().all(|samples| samples.iter().any(|it| *it > 0.0)), "a program took no time");
    let figures = samples
        .iter()
        .filter_map(|(name, samples)| Some((name.clone(), Figures::of_rounds(samples, "ns/run")?)));
    Ok(figures.chain(routes).collect())
}

/// The mean time of a run when port follows port.
fn in_turn(ports: &Ports) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for port in 0..MANY {
        sum += ports.time(port, RUNS_PER_PORT)?;
    }
    Ok(sum / MANY)
}
