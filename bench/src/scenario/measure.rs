//! All trials of a scenario, and their figures.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::json;

use super::file::{Scenario, without_fcs};
use super::search::{Search, SearchPlan};
use super::transmit::Load;
use super::trial::Outcome;
use crate::report::{BenchReport, Figures};
use crate::screen::Screen;

/// Preamble, start of frame and the gap between frames, which take time on a wire.
const PREAMBLE_AND_GAP_BYTES: usize = 20;

/// What trials run over.
pub(super) struct Lanes<'a> {
    pub(super) names: Vec<&'static str>,
    /// What the times of a trial are called.
    pub(super) latency: &'static str,
    /// Bits per second of the sending device, as it says itself.
    pub(super) link_bps: Option<f64>,
    /// Runs a trial with frames of so many bytes (without FCS), on all lanes at the same time.
    pub(super) run: &'a dyn Fn(usize, Load) -> Result<Vec<Outcome>>,
}

/// Everything that a scenario asks for.
pub(super) fn scenario(
    scenario: &Scenario,
    lanes: &Lanes<'_>,
    screen: &Screen,
    report: &mut BenchReport,
) -> Result<()> {
    if let Some(bps) = lanes.link_bps {
        report.conditions.insert("link_bps_as_the_device_says", json!(bps));
    }
    match &scenario.search {
        Some(plan) => throughput(scenario, plan, lanes, screen, report),
        None => rates(scenario, lanes, screen, report),
    }
}

/// Samples of one lane and frame size.
struct Samples {
    rounds: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    latency: Histogram<u64>,
}

impl Samples {
    fn new() -> Result<Self> {
        let latency = Histogram::new(3).context("cannot make a histogram")?;
        Ok(Self { rounds: BTreeMap::new(), latency })
    }

    fn add(&mut self, outcome: &Outcome) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "frames of an hour are far below 2^53")]
        let [no_room, reordered] = [outcome.found_no_room, outcome.reordered].map(|count| count as f64);
        let samples = [
            (("offered", "packets/s"), Some(outcome.offered_pps())),
            (("received", "packets/s"), Some(outcome.received_pps())),
            (("loss", "%"), Some(outcome.loss_percent())),
            (("cpu_sender", "ns/packet"), Some(outcome.sender_cpu_ns())),
            (("cpu_receiver", "ns/packet"), outcome.receiver_cpu_ns()),
            (("lost_by_receiver", "packets"), outcome.receiver_cpu.map(|_| no_room)),
            (("reordered", "packets"), outcome.receiver_cpu.map(|_| reordered)),
        ];
        for (key, sample) in samples {
            self.rounds.entry(key).or_default().extend(sample);
        }
        self.latency.add(&outcome.latency).context("cannot add samples")
    }

    /// Arms `QUANTITY.BYTES.LANE`.
    fn figures(&self, bytes: usize, lane: &str, latency: &str) -> BTreeMap<String, Figures> {
        let key = |quantity: &str| format!("{quantity}.{bytes}.{lane}");
        let mut figures = BTreeMap::new();
        for ((quantity, unit), samples) in &self.rounds {
            figures.extend(Figures::of_rounds(samples, unit).map(|it| (key(quantity), it)));
        }
        if !self.latency.is_empty() {
            figures.insert(key(latency), Figures::of_events(&self.latency, "us", 1e3));
        }
        figures
    }
}

/// Every frame size at the scenario's rate, lanes at the same time, again and again.
fn rates(scenario: &Scenario, lanes: &Lanes<'_>, screen: &Screen, report: &mut BenchReport) -> Result<()> {
    let steps = scenario.frame_bytes.len() * scenario.repetitions as usize;
    let progress = screen.progress("trials", steps as u64);
    let mut trial = 0_u16;
    for bytes in &scenario.frame_bytes {
        let mut samples = lanes.names.iter().map(|_| Samples::new()).collect::<Result<Vec<_>>>()?;
        for _ in 0..scenario.repetitions {
            trial = trial.wrapping_add(1);
            let load = Load {
                trial,
                flows: scenario.flows,
                pps: scenario.pps(*bytes),
                duration: scenario.duration(),
            };
            let outcomes = (lanes.run)(without_fcs(*bytes), load)?;
            for (samples, outcome) in samples.iter_mut().zip(&outcomes) {
                samples.add(outcome)?;
            }
            progress.inc(1);
        }
        for (lane, samples) in lanes.names.iter().zip(&samples) {
            report.arms.extend(samples.figures(*bytes, lane, lanes.latency));
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// The highest rate without loss of each frame size, and the latency at it.
fn throughput(
    scenario: &Scenario,
    plan: &SearchPlan,
    lanes: &Lanes<'_>,
    screen: &Screen,
    report: &mut BenchReport,
) -> Result<()> {
    let progress =
        screen.progress("search for the highest rate without loss", scenario.frame_bytes.len() as u64);
    let lane = *lanes.names.first().context("a search needs a lane")?;
    let duration = Duration::from_secs_f64(plan.trial_s);
    let (mut trials, mut by_generator, mut nothing_passed) = (0_u16, Vec::new(), Vec::new());
    for bytes in &scenario.frame_bytes {
        let mut run = |pps| {
            trials = trials.wrapping_add(1);
            let load = Load { trial: trials, flows: scenario.flows, pps: Some(pps), duration };
            (lanes.run)(without_fcs(*bytes), load)?.pop().context("a trial without an outcome")
        };
        let mut search = Search::new(*plan);
        while let Some(pps) = search.next() {
            let outcome = run(pps)?;
            search.tell(pps, outcome.offered_pps(), outcome.loss_percent());
        }
        let found = search.found();
        let key = |quantity: &str| format!("{quantity}.{bytes}.{lane}");
        let pps = found.pps.unwrap_or_default();
        let mut record = |quantity: &str, value: f64, unit| {
            report.arms.extend(Figures::of_rounds(&[value], unit).map(|it| (key(quantity), it)));
        };
        record("throughput", pps, "packets/s");
        record("throughput_bits", pps * bits(*bytes) / 1e6, "Mbit/s");
        record("search_trials", f64::from(found.trials), "trials");
        if let Some(line) = lanes.link_bps.map(|bps| line_rate_pps(bps, *bytes)) {
            record("line_rate", line, "packets/s");
            record("of_line_rate", 100.0 * pps / line, "%");
        }
        if found.is_generators_limit {
            by_generator.push(*bytes);
        }
        if found.pps.is_some() {
            let mut samples = Samples::new()?;
            samples.add(&run(pps)?)?;
            let figures = samples.figures(*bytes, lane, lanes.latency).into_iter();
            report.arms.extend(figures.map(|(name, figures)| (format!("at_throughput_{name}"), figures)));
        } else {
            nothing_passed.push(*bytes);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !by_generator.is_empty() {
        report.conditions.insert("frame_bytes_where_the_generator_is_the_limit", json!(by_generator));
    }
    if !nothing_passed.is_empty() {
        report.conditions.insert("frame_bytes_that_lost_even_at_min_pps", json!(nothing_passed));
    }
    Ok(())
}

/// Bits of a frame.
#[expect(clippy::cast_precision_loss, reason = "a frame has less than 10,000 bytes")]
fn bits(frame_bytes: usize) -> f64 {
    frame_bytes as f64 * 8.0
}

/// Frames per second that a wire of this speed can carry.
fn line_rate_pps(link_bps: f64, frame_bytes: usize) -> f64 {
    link_bps / bits(frame_bytes + PREAMBLE_AND_GAP_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_rates_are_those_that_everybody_knows() {
        assert_eq!(format!("{:.0}", line_rate_pps(10e9, 64)), "14880952");
        assert_eq!(format!("{:.0}", line_rate_pps(10e9, 1518)), "812744");
        assert_eq!(format!("{:.0}", line_rate_pps(1e9, 64)), "1488095");
    }
}
