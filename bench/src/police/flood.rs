//! UDP far above the limit.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;

use super::arm::Arm;
use super::rate::{DEFAULT_BURST, Delivered, MANY_CPUS, UDP};
use crate::args::PoliceOptions;
use crate::packets::frame::{FULL, udp};
use crate::packets::generator::Generator;
use crate::packets::sink::{Receiver, Sink};
use crate::report::{BenchReport, Figures};
use crate::screen::Screen;

/// The first second, which holds the burst, is looked at apart.
const FIRST: Duration = Duration::from_secs(1);
/// A limit is let alone so long, more than its burst takes to fill.
const REST: Duration = Duration::from_millis(100);
/// Flows in all.
const FLOWS: u32 = 8;
/// Container runtimes pass this for the annotation kubernetes.io/ingress-bandwidth; the standard plugin has no burst of its own.
const RUNTIME_BURST_BITS: u64 = u32::MAX as u64;
/// Less offered than this many times the rate measures the generator, not the limit.
const OFFERED_MIN: f64 = 1.05;

/// A flood's outcome.
struct Flood {
    delivered: Delivered,
    offered_bps: f64,
}

/// Floods every arm at every rate; adds `delivered`, `rate_error` and `first_second_excess` of each.
pub(super) fn measure(
    arms: &[Arm],
    options: &PoliceOptions,
    screen: &Screen,
    report: &mut BenchReport,
) -> Result<()> {
    let steps = options.rounds as usize * (UDP.len() * arms.len() + 1);
    let progress = screen.progress("UDP above the limit", steps as u64);
    let (mut samples, mut too_slow) = (BTreeMap::<String, (&str, Vec<f64>)>::new(), Vec::new());
    let mut record =
        |name: String, unit, value| samples.entry(name).or_insert((unit, Vec::new())).1.push(value);
    for _ in 0..options.rounds {
        let one_cpu =
            UDP.iter().flat_map(|rate| arms.iter().map(move |arm| (arm, *rate, 1, arm.name.to_owned())));
        let many = arms.first().map(|arm| (arm, MANY_CPUS, 2, format!("{}_2_cpus", arm.name)));
        for (arm, rate, cpus, name) in one_cpu.chain(many) {
            let burst = rate.burst_bits();
            arm.limiter.set(rate, Some(burst)).with_context(|| format!("arm {name}"))?;
            let flood = flood(arm, FIRST, FIRST + options.duration(), cpus)?;
            arm.limiter.clear().with_context(|| format!("arm {name}"))?;
            let (delivered, key) = (flood.delivered, format!("{name}.{}", rate.label));
            ensure!(delivered.last.1 > 0, "arm {key}: nothing arrived, so this path is not what it claims");
            record(format!("delivered.{key}"), "Mbit/s", delivered.bps() / 1e6);
            record(format!("offered.{key}"), "Mbit/s", flood.offered_bps / 1e6);
            #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53 bit/s")]
            if flood.offered_bps < rate.bps as f64 * OFFERED_MIN {
                too_slow.push(key);
            } else {
                record(format!("rate_error.{key}"), "%", delivered.error_percent(rate));
                record(
                    format!("first_second_excess.{key}"),
                    "%",
                    delivered.first_excess_percent(rate, burst),
                );
            }
            progress.inc(1);
        }
    }
    for (name, burst) in [("plexus", None), ("standard", Some(RUNTIME_BURST_BITS))] {
        let Some(arm) = arms.iter().find(|arm| arm.name == name) else { continue };
        arm.limiter.set(DEFAULT_BURST, burst)?;
        let seen = flood(arm, FIRST, FIRST, 1)?.delivered;
        arm.limiter.clear()?;
        #[expect(clippy::cast_precision_loss, reason = "bits of a second are far below 2^53")]
        record(format!("first_second_default_burst.{}.10M", arm.name), "Mbit", seen.first.1 as f64 / 1e6);
    }
    progress.finish_and_clear();
    for (name, (unit, samples)) in samples {
        report.arms.extend(Figures::of_rounds(&samples, unit).map(|it| (name, it)));
    }
    if !too_slow.is_empty() {
        report.conditions.insert("offered_too_little_to_judge", json!(too_slow));
    }
    Ok(())
}

/// Sends for `last` and looks at what arrived after `first` and at the end.
fn flood(arm: &Arm, first: Duration, last: Duration, cpus: u32) -> Result<Flood> {
    let mut generators = Vec::new();
    for _ in 0..cpus {
        generators.push(Generator::new(&arm.from, udp(&arm.from, &arm.to, FULL), FLOWS / cpus)?);
    }
    let sink = Sink::attach(&arm.to, Receiver::Stack)?;
    sleep(REST);
    std::thread::scope(|scope| {
        let started = Instant::now();
        let sending: Vec<_> = generators
            .iter()
            .enumerate()
            .map(|(cpu, generator)| scope.spawn(move || generator.run(last, cpu)))
            .collect();
        let look = |at: Duration| -> Result<(Duration, u64)> {
            sleep(at.saturating_sub(started.elapsed()));
            let bits = sink.seen()?.bytes * 8;
            Ok((started.elapsed(), bits))
        };
        let delivered = Delivered { first: look(first)?, last: look(last)? };
        let mut sent = 0;
        for thread in sending {
            sent += thread.join().map_err(|_| anyhow!("a generator panicked"))??;
        }
        #[expect(clippy::cast_precision_loss, reason = "bits of an hour are far below 2^53")]
        let offered_bps = (sent * FULL as u64 * 8) as f64 / started.elapsed().as_secs_f64();
        Ok(Flood { delivered, offered_bps })
    })
}
