//! Interleaved rounds of all arms.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::arm::Arm;
use crate::args::ForwardOptions;
use crate::report::Figures;
use crate::screen::Screen;

/// Runs the rounds; the result has each arm in packets per second, and `cpu_ARM` in CPU nanoseconds per packet.
pub(super) fn measure(
    arms: &[Arm],
    options: &ForwardOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let mut samples = vec![(Vec::new(), Vec::new()); arms.len()];
    let rounds = options.rounds as usize;
    let text = format!("{rounds} rounds of {} paths", arms.len());
    let progress = screen.progress(&text, (rounds * arms.len()) as u64);
    for round in 0..rounds {
        for turn in 0..arms.len() {
            // Another arm begins each round, so that none always follows the same one.
            let which = (turn + round) % arms.len();
            let sample = arms[which].measure(options.duration())?;
            let name = arms[which].name;
            ensure!(
                sample.packets_per_second > 0.0,
                "{name}: nothing arrived, so this path is not what it claims"
            );
            samples[which].0.push(sample.packets_per_second);
            samples[which].1.push(sample.cpu_ns);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for (arm, (rates, busy)) in arms.iter().zip(&samples) {
        figures.extend(Figures::of_rounds(rates, "packets/s").map(|it| (arm.name.to_owned(), it)));
        figures.extend(Figures::of_rounds(busy, "ns/packet").map(|it| (format!("cpu_{}", arm.name), it)));
    }
    Ok(figures)
}
