//! What a measured frame carries: which trial it is of, its number, and when it was sent.

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// UDP port of measured frames.
pub(crate) const STAMPED: u16 = 20_000;
/// Where the payload of UDP over IPv4 without options begins.
const OFFSET: usize = 42;
/// The shortest frame has room for just this.
const BYTES: usize = 18;
/// Where the UDP source port lies, and the first flow's.
const SOURCE_OFFSET: usize = 34;
const FIRST_SOURCE: u16 = 0x4000;

/// A frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Frames of another trial do not count.
    pub(crate) trial: u16,
    /// From 0.
    pub(crate) number: u64,
    /// The sender's monotonic clock, in nanoseconds.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    /// Writes it into a frame, together with the flow's source port; a frame that is too short stays as it is.
    pub(crate) fn write(&self, frame: &mut [u8], flows: u16) {
        let flow = u16::try_from(self.number % u64::from(flows.max(1))).unwrap_or_default();
        if let Some(port) = frame.get_mut(SOURCE_OFFSET..SOURCE_OFFSET + 2) {
            port.copy_from_slice(&FIRST_SOURCE.wrapping_add(flow).to_be_bytes());
        }
        if let Some(payload) = frame.get_mut(OFFSET..OFFSET + BYTES) {
            payload[..2].copy_from_slice(&self.trial.to_be_bytes());
            payload[2..10].copy_from_slice(&self.number.to_be_bytes());
            payload[10..].copy_from_slice(&self.sent_ns.to_be_bytes());
        }
    }

    /// Reads it from a frame.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let payload = frame.get(OFFSET..OFFSET + BYTES)?;
        let (trial, rest) = payload.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        Some(Self {
            trial: u16::from_be_bytes(*trial),
            number: u64::from_be_bytes(*number),
            sent_ns: u64::from_be_bytes(*rest.first_chunk()?),
        })
    }
}

/// The monotonic clock of this machine, in nanoseconds; threads and namespaces share it.
pub(crate) fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the clock")?;
    let [seconds, nanoseconds] = [now.tv_sec(), now.tv_nsec()].map(i64::cast_unsigned);
    Ok(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_read_as_it_was_written(trial: u16, number: u64, sent_ns: u64, bytes in 60..200_usize) {
            let stamp = Stamp { trial, number, sent_ns };
            let mut frame = vec![0; bytes];
            stamp.write(&mut frame, 8);
            prop_assert_eq!(Stamp::read(&frame), Some(stamp));
        }

        #[test]
        fn no_frame_is_too_short_to_be_looked_at(frame in prop::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(Stamp::read(&frame).is_some(), frame.len() >= 60);
        }
    }

    #[test]
    fn flows_take_turns() {
        let mut frame = vec![0; 60];
        let ports = [0, 1, 2, 3].map(|number| {
            Stamp { trial: 0, number, sent_ns: 0 }.write(&mut frame, 3);
            u16::from_be_bytes([frame[34], frame[35]])
        });
        assert_eq!(ports, [0x4000, 0x4001, 0x4002, 0x4000]);
    }
}
