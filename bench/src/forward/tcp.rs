//! Pod to pod as applications see it: throughput of one TCP connection, and request and response over one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use plexus_agent::lab::traffic::tcp::transfer;

use super::stage::Stage;
use crate::args::ForwardOptions;
use crate::packets::echo;
use crate::report::Figures;
use crate::screen::Screen;

/// Where receivers listen: a new port each round, because connections of the one before linger.
const FIRST_PORT: u16 = 5300;

/// Samples of one arm.
struct Samples {
    gbit: Vec<f64>,
    per_second: Vec<f64>,
    nanoseconds: Histogram<u64>,
}

/// Runs the rounds; the result has `tcp.ARM` in Gbit/s, `rr.ARM` in round trips per second, `rr_latency.ARM` in µs.
pub(super) fn measure(
    stage: &Stage,
    options: &ForwardOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let pairs = stage.pairs();
    let progress = screen.progress("TCP, pod to pod", u64::from(options.rounds) * pairs.len() as u64);
    let mut all = Vec::new();
    for _ in &pairs {
        let nanoseconds = Histogram::new(3).context("cannot make a histogram")?;
        all.push(Samples { gbit: Vec::new(), per_second: Vec::new(), nanoseconds });
    }
    for round in 0..options.rounds {
        let port = FIRST_PORT + u16::try_from(2 * round).context("too many rounds for TCP")?;
        for turn in 0..pairs.len() {
            let which = (turn + round as usize) % pairs.len();
            let (name, from, to) = &pairs[which];
            let samples = &mut all[which];
            let moved = transfer(&from.netns, &to.netns, to.at(port), options.duration())
                .with_context(|| format!("TCP of {name}"))?;
            #[expect(clippy::cast_precision_loss, reason = "bits of some seconds are far below 2^53")]
            samples.gbit.push((moved.bytes * 8) as f64 / moved.elapsed.as_secs_f64() / 1e9);
            let seen = echo::tcp(from, to, port + 1, options.duration())
                .with_context(|| format!("round trips of {name}"))?;
            #[expect(clippy::cast_precision_loss, reason = "round trips of some seconds are far below 2^53")]
            samples.per_second.push(seen.nanoseconds.len() as f64 / options.duration().as_secs_f64());
            samples.nanoseconds.add(seen.nanoseconds).context("cannot add samples")?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for ((name, ..), samples) in pairs.iter().zip(&all) {
        figures.extend(Figures::of_rounds(&samples.gbit, "Gbit/s").map(|it| (format!("tcp.{name}"), it)));
        figures.extend(
            Figures::of_rounds(&samples.per_second, "round trips/s").map(|it| (format!("rr.{name}"), it)),
        );
        figures.insert(format!("rr_latency.{name}"), Figures::of_events(&samples.nanoseconds, "us", 1e3));
    }
    Ok(figures)
}
