//! What programs take of a packet's way, and what the kernel around them takes.

use anyhow::Result;

use super::arm::Arm;
use crate::args::ForwardOptions;
use crate::packets::alone::Alone;
use crate::packets::frame::SHORTEST;
use crate::packets::statistics::{Statistics, per_packet, runs};
use crate::profile::{Profile, Row};
use crate::screen::Screen;

/// How the parts are found.
const WHAT: &str = "The arm once more, with the kernel timing every program (BPF_ENABLE_STATS; a program behind a gate counts as the \
     gate). The time that an empty run shows is taken off each. The kernel's share is the rest of the packet's time: making \
     the frame and its socket buffer, queues and soft interrupts, and the timing itself. So the whole is more than without timing.";
/// Runs of the empty program.
const RUNS: u32 = 200_000;

/// One row for each arm.
pub(super) fn measure(arms: &[Arm], options: &ForwardOptions, screen: &Screen) -> Result<Profile> {
    let progress = screen.progress("time in programs and in the kernel", arms.len() as u64);
    let _counting = Statistics::begin()?;
    let empty_run = {
        let nothing = Alone::load("nothing")?;
        let before = runs();
        nothing.time(&[0; SHORTEST], RUNS)?;
        per_packet(&before, &runs(), f64::from(RUNS)).get("nothing").map_or(0.0, |(time, _)| *time)
    };
    let mut rows = Vec::new();
    for arm in arms {
        let (sample, before, after) = arm.measure_between(options.duration(), runs)?;
        let programs = per_packet(&before, &after, sample.packets);
        let mut parts: Vec<_> = programs
            .into_iter()
            .map(|(name, (nanoseconds, runs))| (name, (nanoseconds - runs * empty_run).max(0.0)))
            .collect();
        let whole = 1e9 / sample.packets_per_second.max(1.0);
        let kernel = whole - parts.iter().map(|(_, nanoseconds)| nanoseconds).sum::<f64>();
        parts.push(("the kernel around them".into(), kernel));
        rows.push(Row::of(arm.name, parts));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Profile { what: WHAT.into(), unit: "ns/packet", explains: Vec::new(), rows })
}
