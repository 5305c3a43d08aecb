//! What it costs to look at a flood of drops: packets per second while `plexusctl drops --follow` runs, and while it does not.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plexus_agent::lab::Plexusd;
use plexus_cni::wire::Query;

use super::stage::Stage;
use crate::args::ForwardOptions;
use crate::packets::end::End;
use crate::packets::frame::{SHORTEST, udp};
use crate::packets::generator::{Generator, pin, unpin};
use crate::packets::sink::{Receiver, Sink};
use crate::report::{BenchReport, Figures};
use crate::screen::Screen;

/// Source ports in use.
const FLOWS: u32 = 8;
/// Frames of one call of the kernel; beside a flood a frame to drop and one to forward take turns in such portions.
const PORTION: u32 = 1 << 15;
/// A hardware address that no pod has.
const FOREIGN: [u8; 6] = [2, 0xff, 0xff, 0xff, 0xff, 0xff];
/// What is still on its way when the generator stops has arrived after this.
const SETTLE: Duration = Duration::from_millis(5);
/// A follower has its first sample after this.
const BEGIN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So long after the last follower has gone plexusd has told the programs: it looks every 200 ms, and a window has 100 ms.
const FORGET: Duration = Duration::from_millis(500);

/// A pod that sends what is dropped, and what is forwarded.
struct Flood<'a> {
    plexusd: &'a Plexusd,
    dropped: Generator,
    forwarded: Generator,
    to: End,
}

/// Rates of one kind of load, in packets per second.
#[derive(Default)]
struct Rates {
    unfollowed: Vec<f64>,
    followed: Vec<f64>,
}

/// Runs the rounds, with and without a follower in turns; the result has `drops.…` and `beside_drops.…` in packets per
/// second, and `drops.samples` in lines per second.
pub(super) fn measure(
    stage: &Stage,
    options: &ForwardOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let flood = Flood::new(stage)?;
    let progress = screen.progress("a flood of drops, followed and not", options.rounds.into());
    let (mut drops, mut beside, mut samples) = (Rates::default(), Rates::default(), Vec::new());
    for round in 0..options.rounds {
        for turn in 0..2 {
            // Another one begins each round.
            if (turn + round) % 2 == 0 {
                drops.unfollowed.push(flood.drop_rate(options.duration())?);
                beside.unfollowed.push(flood.forward_rate(options.duration())?);
            } else {
                let follower = Follower::start(&flood)?;
                let (before, started) = (follower.lines(), Instant::now());
                drops.followed.push(flood.drop_rate(options.duration())?);
                beside.followed.push(flood.forward_rate(options.duration())?);
                #[expect(clippy::cast_precision_loss, reason = "lines of some seconds are far below 2^53")]
                let lines = (follower.lines() - before) as f64;
                ensure!(lines > 0.0, "the follower saw no drop of a flood");
                samples.push(lines / started.elapsed().as_secs_f64());
                drop(follower);
                thread::sleep(FORGET);
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for (name, rates, unit) in [
        ("drops.unfollowed", &drops.unfollowed, "packets/s"),
        ("drops.followed", &drops.followed, "packets/s"),
        ("beside_drops.unfollowed", &beside.unfollowed, "packets/s"),
        ("beside_drops.followed", &beside.followed, "packets/s"),
        ("drops.samples", &samples, "lines/s"),
    ] {
        ensure!(rates.iter().all(|rate| *rate > 0.0), "{name}: nothing was counted");
        figures.extend(Figures::of_rounds(rates, unit).map(|it| (name.to_owned(), it)));
    }
    Ok(figures)
}

/// What following takes of both rates, in percent.
pub(super) fn ratios(report: &mut BenchReport) {
    for (name, load) in
        [("drop_follow_cost_percent", "drops"), ("drop_follow_forwarded_cost_percent", "beside_drops")]
    {
        let rates =
            report.median(&format!("{load}.followed")).zip(report.median(&format!("{load}.unfollowed")));
        if let Some((followed, unfollowed)) = rates {
            report.ratios.insert(name, 100.0 * (1.0 - followed / unfollowed));
        }
    }
}

impl<'a> Flood<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let (from, to) = stage.plexus_pair();
        let foreign = End { mac: FOREIGN, ..from.clone() };
        Ok(Self {
            plexusd: &stage.plexusd,
            dropped: Generator::new(from, udp(&foreign, to, SHORTEST), FLOWS)?,
            forwarded: Generator::new(from, udp(from, to, SHORTEST), FLOWS)?,
            to: to.clone(),
        })
    }

    /// Drops per second of a pod that sends nothing else, as plexusd counts them.
    fn drop_rate(&self, duration: Duration) -> Result<f64> {
        pin(0)?;
        let (before, started) = (self.drops()?, Instant::now());
        while started.elapsed() < duration {
            self.dropped.send(PORTION)?;
        }
        let elapsed = started.elapsed();
        thread::sleep(SETTLE);
        Ok(per_second(self.drops()?.saturating_sub(before), elapsed))
    }

    /// Frames per second that arrive from a pod of whose frames every other one is dropped.
    fn forward_rate(&self, duration: Duration) -> Result<f64> {
        pin(0)?;
        let sink = Sink::attach(&self.to, Receiver::Stack)?;
        let (before, started) = (sink.seen()?.packets, Instant::now());
        while started.elapsed() < duration {
            self.dropped.send(PORTION)?;
            self.forwarded.send(PORTION)?;
        }
        let elapsed = started.elapsed();
        thread::sleep(SETTLE);
        Ok(per_second(sink.seen()?.packets - before, elapsed))
    }

    /// What all ports have dropped so far.
    fn drops(&self) -> Result<u64> {
        let ports = self.plexusd.ask(&Query::Counters)?;
        let ports = ports.as_array().context("plexusd lists no ports")?;
        let reasons = ports.iter().filter_map(|port| port["counters"]["drops"].as_object());
        Ok(reasons.flat_map(|drops| drops.values()).filter_map(serde_json::Value::as_u64).sum())
    }
}

#[expect(clippy::cast_precision_loss, reason = "packets of some seconds are far below 2^53")]
fn per_second(packets: u64, elapsed: Duration) -> f64 {
    packets as f64 / elapsed.as_secs_f64()
}

/// `plexusctl drops --follow`, whose lines are counted; it ends with the value.
struct Follower {
    process: Child,
    lines: Arc<AtomicU64>,
}

impl Follower {
    /// Starts it, and waits until it shows a drop.
    fn start(flood: &Flood<'_>) -> Result<Self> {
        // It must not wait for the CPU that makes the flood.
        unpin()?;
        let setup = flood.plexusd.setup();
        let mut command = Command::new(setup.plexusd.with_file_name("plexusctl"));
        command.arg("--socket").arg(&setup.socket).args(["-o", "json", "drops", "--follow"]);
        let mut process = command.stdout(Stdio::piped()).spawn().context("cannot start plexusctl")?;
        let output = process.stdout.take().context("plexusctl has no output")?;
        let lines = Arc::new(AtomicU64::new(0));
        let follower = Self { process, lines: Arc::clone(&lines) };
        thread::spawn(move || {
            // Ends with plexusctl, whose output ends then.
            for _ in BufReader::new(output).lines().map_while(Result::ok) {
                lines.fetch_add(1, Ordering::Relaxed);
            }
        });
        let started = Instant::now();
        while follower.lines() == 0 {
            ensure!(started.elapsed() < BEGIN_MAX, "plexusctl drops --follow shows nothing");
            flood.dropped.send(1)?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(follower)
    }

    fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_what_is_missing_from_the_rate_without_a_follower() {
        let mut report = BenchReport::begin("forward");
        ratios(&mut report);
        assert!(report.ratios.is_empty());
        for (arm, rate) in [("drops.unfollowed", 200.0), ("drops.followed", 199.0)] {
            report.arms.insert(arm.into(), Figures::of_rounds(&[rate], "packets/s").unwrap());
        }
        ratios(&mut report);
        assert!((report.ratios["drop_follow_cost_percent"] - 0.5).abs() < 1e-9);
        assert!(!report.ratios.contains_key("drop_follow_forwarded_cost_percent"));
    }
}
