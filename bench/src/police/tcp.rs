//! TCP through the limit: goodput, and how long small packets wait beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;
use plexus_agent::lab::traffic::tcp::transfer;

use super::arm::Arm;
use super::rate::{LATENCY, Rate, TCP};
use crate::args::PoliceOptions;
use crate::packets::echo;
use crate::report::Figures;
use crate::screen::Screen;

/// Where receivers listen: a new port each time, because connections of the one before linger.
const FIRST_PORT: u16 = 5400;
/// Of the small packets.
const ECHO_PORT: u16 = 5300;
/// TCP fills the limit first.
const LEAD: Duration = Duration::from_millis(200);

/// Adds `tcp_goodput` in percent of the limit, and `latency_under_tcp` and `lost_under_tcp` of datagrams beside TCP.
pub(super) fn measure(
    arms: &[Arm],
    options: &PoliceOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let steps = options.rounds as usize * arms.len() * (TCP.len() + 1);
    let progress = screen.progress("TCP through the limit", steps as u64);
    let mut goodput = BTreeMap::<String, Vec<f64>>::new();
    let mut waits = BTreeMap::<&str, (Histogram<u64>, Vec<f64>)>::new();
    let mut port = FIRST_PORT;
    for _ in 0..options.rounds {
        for rate in TCP {
            for arm in arms {
                port += 1;
                arm.limiter
                    .set(rate, Some(rate.tcp_burst_bits()))
                    .with_context(|| format!("arm {}", arm.name))?;
                let percent = goodput_percent(arm, port, options.duration(), rate)?;
                arm.limiter.clear()?;
                goodput.entry(format!("tcp_goodput.{}.{}", arm.name, rate.label)).or_default().push(percent);
                progress.inc(1);
            }
        }
        for arm in arms {
            port += 1;
            arm.limiter.set(LATENCY, Some(LATENCY.tcp_burst_bits()))?;
            let seen = beside_tcp(arm, port, options.duration())?;
            arm.limiter.clear()?;
            let entry = waits.entry(arm.name).or_insert((Histogram::new(3)?, Vec::new()));
            entry.1.push(seen.lost_percent());
            entry.0.add(seen.nanoseconds).context("cannot add samples")?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for (name, samples) in goodput {
        figures.extend(Figures::of_rounds(&samples, "% of the limit").map(|it| (name, it)));
    }
    for (name, (nanoseconds, lost)) in waits {
        let key = |what: &str| format!("{what}.{name}.{}", LATENCY.label);
        figures.insert(key("latency_under_tcp"), Figures::of_events(&nanoseconds, "us", 1e3));
        figures.extend(Figures::of_rounds(&lost, "% lost").map(|it| (key("lost_under_tcp"), it)));
    }
    Ok(figures)
}

/// Without the burst, which is full at the start: a short transfer would look better than a long one.
fn goodput_percent(arm: &Arm, port: u16, duration: Duration, rate: Rate) -> Result<f64> {
    let moved = transfer(&arm.from.netns, &arm.to.netns, arm.to.at(port), duration)
        .with_context(|| format!("TCP of arm {}", arm.name))?;
    #[expect(clippy::cast_precision_loss, reason = "bits of an hour are far below 2^53")]
    let [bits, limit] =
        [(moved.bytes * 8).saturating_sub(rate.tcp_burst_bits()), rate.bps].map(|count| count as f64);
    Ok(100.0 * bits / moved.elapsed.as_secs_f64() / limit)
}

/// Datagrams there and back while one TCP connection fills the limit.
pub(super) fn beside_tcp(arm: &Arm, port: u16, duration: Duration) -> Result<echo::RoundTrips> {
    std::thread::scope(|scope| {
        let filling =
            scope.spawn(|| transfer(&arm.from.netns, &arm.to.netns, arm.to.at(port), duration + LEAD + LEAD));
        std::thread::sleep(LEAD);
        let seen = echo::udp(&arm.from, &arm.to, ECHO_PORT, duration);
        filling.join().map_err(|_| anyhow!("the sender panicked"))??;
        seen
    })
}
