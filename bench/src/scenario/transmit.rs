//! Sends stamped frames at a rate.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::socket::Outlet;
use super::stamp::{Stamp, now_ns};
use crate::packets::cpu;

/// Frames of one call.
const BATCH: usize = 32;
/// A sender that is ahead of its rate looks again after this.
const PAUSE: Duration = Duration::from_micros(20);

/// What is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// See [`Stamp::trial`].
    pub(crate) trial: u16,
    pub(crate) flows: u16,
    /// As many as possible, if absent.
    pub(crate) pps: Option<f64>,
    pub(crate) duration: Duration,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) elapsed: Duration,
    /// CPU time of the sending thread.
    pub(crate) cpu: Duration,
}

/// Sends copies of `frame` from the calling thread.
pub(crate) fn transmit(outlet: &mut Outlet, frame: &[u8], load: &Load) -> Result<Sent> {
    let mut frames = vec![frame.to_vec(); BATCH];
    let (busy, started) = (cpu::of_thread()?, Instant::now());
    let mut packets = 0_u64;
    loop {
        let elapsed = started.elapsed();
        if elapsed >= load.duration {
            break;
        }
        let count = load.pps.map_or(BATCH, |pps| due(pps, elapsed, packets).min(BATCH));
        if count == 0 {
            thread::sleep(PAUSE);
            continue;
        }
        let sent_ns = now_ns()?;
        for (number, frame) in (packets..).zip(&mut frames[..count]) {
            Stamp { trial: load.trial, number, sent_ns }.write(frame, load.flows);
        }
        // What the device does not take is stamped and tried again.
        packets += outlet.send(&frames[..count])? as u64;
    }
    packets = packets.saturating_sub(outlet.finish()? as u64);
    Ok(Sent { packets, elapsed: started.elapsed(), cpu: cpu::of_thread()?.saturating_sub(busy) })
}

/// Frames that should have been sent by now and were not.
fn due(pps: f64, elapsed: Duration, sent: u64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 1e9 per second for an hour; negative is none"
    )]
    let wanted = (pps * elapsed.as_secs_f64()) as u64;
    usize::try_from(wanted.saturating_sub(sent)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_catches_up_and_never_runs_ahead() {
        let second = Duration::from_secs(1);
        assert_eq!(due(1000.0, second, 0), 1000);
        assert_eq!(due(1000.0, second, 990), 10);
        assert_eq!(due(1000.0, second, 1005), 0);
        assert_eq!(due(0.5, second, 0), 0);
    }
}
