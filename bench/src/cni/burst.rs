//! Many pods at once: the throughput of parallel ADDs.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;
use plexus_agent::lab::{Pod, Runtime};
use serde_json::Value;

use super::arm::IFNAME;
use super::config;
use super::stage::{Stage, reference};
use crate::args::CniOptions;
use crate::report::Figures;
use crate::screen::Screen;

/// ADDs at a time.
const PARALLEL: usize = 40;
/// Samples are kept in thousandths of an ADD per second.
const SCALE: f64 = 1e3;

/// One arm of the burst.
struct Burst {
    name: &'static str,
    runtime: Runtime,
    config: Value,
    samples: Histogram<u64>,
}

/// Alternates bursts of both arms; the result has `ARM.parallel40` in ADDs per second.
pub(super) fn measure(
    stage: &Stage,
    options: &CniOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let pods: Vec<_> =
        (0..PARALLEL).map(|n| stage.host.pod(&format!("burst-{n}"))).collect::<Result<_, _>>()?;
    let mut arms = [
        burst("plexus", stage.shim(), config::macvlan("burst-plexus", 5))?,
        burst("reference", reference(options)?, config::macvlan("burst-reference", 6))?,
    ];
    let progress = screen
        .progress(&format!("{} bursts of {PARALLEL} parallel ADDs", options.bursts), options.bursts.into());
    for number in 0..=options.bursts {
        if number % 2 == 1 {
            arms.reverse();
        }
        for arm in &mut arms {
            let elapsed = arm.fire(&pods)?;
            // The first burst warms up.
            if number > 0 {
                arm.samples.record(thousandths_per_second(elapsed)).context("cannot record a sample")?;
            }
        }
        progress.inc(u64::from(number > 0));
    }
    progress.finish_and_clear();
    let figures = arms
        .iter()
        .map(|arm| (format!("{}.parallel40", arm.name), Figures::of(&arm.samples, "adds_per_second", SCALE)));
    Ok(figures.collect())
}

fn burst(name: &'static str, runtime: Runtime, config: Value) -> Result<Burst> {
    let samples = Histogram::new(3).context("cannot make a histogram")?;
    Ok(Burst { name, runtime, config, samples })
}

fn thousandths_per_second(elapsed: Duration) -> u64 {
    let wanted = PARALLEL as u128 * 1_000 * 1_000_000_000;
    u64::try_from(wanted / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
}

impl Burst {
    /// From the release of all callers to the end of the last ADD; the DELs afterwards are not timed.
    fn fire(&self, pods: &[Pod]) -> Result<Duration> {
        let barrier = Barrier::new(pods.len() + 1);
        let elapsed = std::thread::scope(|scope| -> Result<Duration> {
            let callers: Vec<_> = pods
                .iter()
                .map(|pod| {
                    scope.spawn(|| {
                        barrier.wait();
                        self.runtime.add(pod, IFNAME, &self.config)?.success()
                    })
                })
                .collect();
            barrier.wait();
            let started = Instant::now();
            for caller in callers {
                let outcome = caller.join().map_err(|_| anyhow!("a caller of arm {} panicked", self.name))?;
                outcome.with_context(|| format!("arm {}: a parallel ADD failed", self.name))?;
            }
            Ok(started.elapsed())
        })?;
        for pod in pods {
            let outcome = self.runtime.del(pod, IFNAME, &self.config)?;
            outcome.success().with_context(|| format!("arm {}: DEL failed", self.name))?;
        }
        Ok(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_the_burst_over_its_time() {
        assert_eq!(thousandths_per_second(Duration::from_millis(500)), 80_000);
        assert_eq!(thousandths_per_second(Duration::from_secs(2)), 20_000);
    }
}
