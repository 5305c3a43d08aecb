//! How long each program ran, as the kernel counts it (BPF_ENABLE_STATS): only while this is switched on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

/// Most programs of the machine that are looked at.
const PROGRAMS_MAX: usize = 10_000;

/// The kernel counts as long as this lives; every run of a program takes longer meanwhile, the machine's others too.
pub(crate) struct Statistics {
    _switch: OwnedFd,
}

/// Name, time and number of runs of each loaded program, by its id.
pub(crate) type Runs = BTreeMap<u32, (String, Duration, u64)>;

impl Statistics {
    /// Switches the counting on.
    pub(crate) fn begin() -> Result<Self> {
        let switch = enable_stats(Stats::RunTime)
            .context("the kernel does not time programs (it can since Linux 5.8)")?;
        Ok(Self { _switch: switch })
    }
}

/// What has been counted so far.
pub(crate) fn runs() -> Runs {
    let mut runs = Runs::new();
    // A program of somebody else may go while the list is read.
    for program in loaded_programs().take(PROGRAMS_MAX).flatten() {
        let name = program.name_as_str().unwrap_or("(nameless)").to_owned();
        runs.insert(program.id(), (name, program.run_time(), program.run_count()));
    }
    runs
}

/// Nanoseconds per packet and runs per packet of the programs that ran for at least every second of `packets`, by name.
pub(crate) fn per_packet(before: &Runs, after: &Runs, packets: f64) -> BTreeMap<String, (f64, f64)> {
    let mut programs = BTreeMap::new();
    for (id, (name, time, count)) in after {
        let (_, time_before, count_before) = before.get(id).cloned().unwrap_or_default();
        let [runs, nanoseconds] =
            [count.saturating_sub(count_before).into(), time.saturating_sub(time_before).as_nanos()];
        #[expect(clippy::cast_precision_loss, reason = "counts of some seconds are far below 2^53")]
        let [runs, nanoseconds] = [runs, nanoseconds].map(|count: u128| count as f64 / packets.max(1.0));
        if runs >= 0.5 {
            programs.insert(name.clone(), (nanoseconds, runs));
        }
    }
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_that_ran_for_the_packets_count() {
        let of = |count, nanoseconds| ("sink_tc".to_owned(), Duration::from_nanos(nanoseconds), count);
        let before = Runs::from([(1, of(10, 100))]);
        let after = Runs::from([(1, of(110, 2_100)), (2, ("other".to_owned(), Duration::from_nanos(9), 3))]);
        let seen = per_packet(&before, &after, 100.0);
        assert_eq!(seen.len(), 1);
        assert!((seen["sink_tc"].0 - 20.0).abs() < 1e-9 && (seen["sink_tc"].1 - 1.0).abs() < 1e-9);
    }
}
