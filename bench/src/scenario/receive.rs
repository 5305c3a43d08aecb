//! Receives stamped frames and says what became of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::socket::Inlet;
use super::stamp::{Stamp, now_ns};
use crate::packets::cpu;

/// After the sender is done and nothing has come for this long, nothing will.
const QUIET: Duration = Duration::from_millis(50);

/// What arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) packets: u64,
    /// Frames behind one with a higher number.
    pub(crate) reordered: u64,
    /// From the sender's stamp to this process, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Frames that came and found the socket's buffer full: lost by the receiver.
    pub(crate) found_no_room: u64,
    /// CPU time of the receiving thread.
    pub(crate) cpu: Duration,
    highest: Option<u64>,
}

impl Received {
    fn new() -> Result<Self> {
        let latency = Histogram::new(3).context("cannot make a histogram")?;
        Ok(Self { packets: 0, reordered: 0, latency, found_no_room: 0, cpu: Duration::ZERO, highest: None })
    }

    fn note(&mut self, stamp: Stamp, now_ns: u64) {
        self.packets += 1;
        if self.highest.is_some_and(|highest| stamp.number < highest) {
            self.reordered += 1;
        }
        self.highest = self.highest.max(Some(stamp.number));
        // The histogram grows to hold what it is given; what it cannot hold was no latency.
        self.latency.record(now_ns.saturating_sub(stamp.sent_ns)).unwrap_or_default();
    }
}

/// Receives frames of `trial` until `is_done` and the line is quiet, or `limit` is over.
pub(crate) fn receive(
    inlet: &mut Inlet,
    trial: u16,
    is_done: &AtomicBool,
    limit: Duration,
) -> Result<Received> {
    let mut received = Received::new()?;
    let busy = cpu::of_thread()?;
    let (started, mut last) = (Instant::now(), Instant::now());
    // What came before this trial.
    inlet.dropped()?;
    while started.elapsed() < limit {
        let was_done = is_done.load(Ordering::Acquire);
        let mut stamps = Vec::new();
        let count = inlet.receive(|frame| stamps.extend(Stamp::read(frame)))?;
        let now_ns = now_ns()?;
        for stamp in stamps.into_iter().filter(|stamp| stamp.trial == trial) {
            received.note(stamp, now_ns);
        }
        if count > 0 {
            last = Instant::now();
        } else if was_done && last.elapsed() >= QUIET {
            break;
        }
    }
    received.found_no_room = inlet.dropped()?;
    received.cpu = cpu::of_thread()?.saturating_sub(busy);
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_latency_come_from_the_stamps() {
        let mut received = Received::new().unwrap();
        for (number, sent_ns) in [(0, 1_000), (2, 2_000), (1, 1_500), (3, 9_000)] {
            received.note(Stamp { trial: 1, number, sent_ns }, 5_000);
        }
        assert_eq!((received.packets, received.reordered), (4, 1));
        assert_eq!((received.latency.min(), received.latency.len()), (0, 4));
        assert!(received.latency.max().abs_diff(4_000) < 10, "{}", received.latency.max());
    }
}
