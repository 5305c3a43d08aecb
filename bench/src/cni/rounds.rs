//! Interleaved rounds: in each, every arm adds and deletes once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::arm::Arm;
use crate::report::Figures;
use crate::screen::Screen;

/// Rounds before the first that counts: page cache, neighbour tables, allocator.
const WARM_UP_ROUNDS: u32 = 5;
/// Nanoseconds of a millisecond.
const NS_PER_MS: f64 = 1e6;

/// Samples of one arm.
struct Samples {
    add: Histogram<u64>,
    del: Histogram<u64>,
}

/// Runs the rounds; the result has `ARM.add` and `ARM.del` for each arm, in milliseconds.
pub(super) fn measure(
    arms: &mut [Box<dyn Arm>],
    rounds: u32,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let mut samples = Vec::with_capacity(arms.len());
    for _ in arms.iter() {
        samples.push(Samples { add: histogram()?, del: histogram()? });
    }
    let names: Vec<_> = arms.iter().map(|arm| arm.name()).collect();
    let progress = screen.progress(&format!("{rounds} rounds of {}", names.join(", ")), rounds.into());
    for round in 0..WARM_UP_ROUNDS + rounds {
        for turn in 0..arms.len() {
            // Another arm begins each round, so that none always follows the same one.
            let which = (turn + round as usize) % arms.len();
            let (add, del) = (arms[which].add()?, arms[which].del()?);
            if round >= WARM_UP_ROUNDS {
                record(&mut samples[which].add, add)?;
                record(&mut samples[which].del, del)?;
            }
        }
        if round >= WARM_UP_ROUNDS {
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for (name, samples) in names.into_iter().zip(&samples) {
        figures.insert(format!("{name}.add"), Figures::of(&samples.add, "ms", NS_PER_MS));
        figures.insert(format!("{name}.del"), Figures::of(&samples.del, "ms", NS_PER_MS));
    }
    Ok(figures)
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new(3).context("cannot make a histogram")
}

fn record(histogram: &mut Histogram<u64>, sample: Duration) -> Result<()> {
    let nanoseconds = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
    histogram.record(nanoseconds).context("cannot record a sample")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(&'static str, Vec<u32>, u32);

    impl Arm for Counting {
        fn name(&self) -> &'static str {
            self.0
        }
        fn add(&mut self) -> Result<Duration> {
            self.2 += 1;
            Ok(Duration::from_millis(2))
        }
        fn del(&mut self) -> Result<Duration> {
            self.1.push(self.2);
            Ok(Duration::from_millis(4))
        }
    }

    #[test]
    fn every_arm_has_one_sample_of_each_round_after_the_warm_up() {
        let mut arms: Vec<Box<dyn Arm>> =
            vec![Box::new(Counting("a", Vec::new(), 0)), Box::new(Counting("b", Vec::new(), 0))];
        let figures = measure(&mut arms, 10, &Screen::new()).unwrap();
        assert_eq!(figures.keys().collect::<Vec<_>>(), ["a.add", "a.del", "b.add", "b.del"]);
        assert!(figures.values().all(|figures| figures.n == 10));
        assert!((figures["b.del"].median - 4.0).abs() < 0.01);
    }
}
