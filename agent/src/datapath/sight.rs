//! Reading the ring of single frames, and how much the programs may write to it.
#![allow(unsafe_code, reason = "the head of a record is read from the ring's bytes")]

use std::{
    os::fd::AsFd as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};
use plexus_abi::{
    Direction, DropReason, SAMPLE_BYTES, SEEN_CAPTURE, SEEN_RING_BYTES, SampleBudget, SeenHeader, Watch,
};

use super::{
    error::{Result, map_error},
    maps::SEEN,
    pins::Pins,
};

const WATCH: &str = "WATCH";
const BUDGETS: &str = "SAMPLE_BUDGETS";
/// More records than the ring has room for.
const RECORDS_MAX: usize = SEEN_RING_BYTES as usize / SAMPLE_BYTES;
/// Where the addresses of an Ethernet header end, and a tag belongs.
const ADDRESS_BYTES: usize = 12;

/// What each CPU may write to the ring in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Samples of drops; 0 while nobody follows them.
    pub samples: u32,
    /// Frames of one capture.
    pub frames: u32,
    /// Bytes of one capture.
    pub bytes: u32,
}

/// One frame from the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was seen, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// Whether it is of a capture; otherwise it is a sample of drops.
    pub is_capture: bool,
    /// The port.
    pub port: u32,
    /// Whether the pod sent it; otherwise it goes to the pod.
    pub is_from_pod: bool,
    /// Why it was dropped; nothing if it went on.
    pub reason: Option<DropReason>,
    /// Bytes of the whole frame.
    pub frame_bytes: u32,
    /// The frame's first bytes, with the VLAN tag that the kernel keeps beside them.
    pub bytes: Vec<u8>,
}

/// The ring, and what the programs may write to it.
pub struct Sight {
    ring: RingBuf<MapData>,
    watch: Array<MapData, Watch>,
    budgets: PerCpuArray<MapData, SampleBudget>,
}

impl Sight {
    pub(super) fn open(pins: &Pins) -> Result<Self> {
        Ok(Self {
            ring: open(SEEN, &pins.map(SEEN))?,
            watch: open(WATCH, &pins.map(WATCH))?,
            budgets: open(BUDGETS, &pins.map(BUDGETS))?,
        })
    }

    /// Begins a window: every CPU may write as much as `limits` says. Without a next window it may write no more then.
    pub fn open_window(&mut self, limits: Limits) -> Result<()> {
        let before = self.watch.get(&0, 0).map_err(map_error(WATCH, "read"))?;
        // Never 0, and never the number of the window before: the CPUs' budgets are of that one.
        let spent = self.last_window()?.max(before.window);
        let window = spent.checked_add(1).unwrap_or(1);
        self.set(Watch {
            window,
            samples_max: limits.samples,
            frames_max: limits.frames,
            bytes_max: limits.bytes,
        })
    }

    /// Nobody looks any more: the programs write nothing, and ask nothing but this one word.
    pub fn close(&mut self) -> Result<()> {
        self.set(Watch::ZERO)
    }

    fn set(&mut self, watch: Watch) -> Result<()> {
        self.watch.set(0, watch, 0).map_err(map_error(WATCH, "change"))
    }

    /// The last window in which a CPU sampled.
    fn last_window(&self) -> Result<u32> {
        let of_cpus = self.budgets.get(&0, 0).map_err(map_error(BUDGETS, "read"))?;
        Ok(of_cpus.iter().map(|budget| budget.window).max().unwrap_or_default())
    }

    /// Drops that were not sampled since the map was made.
    pub fn suppressed(&self) -> Result<u64> {
        let of_cpus = self.budgets.get(&0, 0).map_err(map_error(BUDGETS, "read"))?;
        Ok(of_cpus.iter().map(|budget| budget.suppressed).sum())
    }

    /// Waits until there is something in the ring, or as long as `limit`.
    pub fn wait(&self, limit: Duration) -> std::io::Result<()> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Empties the ring: what nobody read is of earlier.
    pub fn discard(&mut self) {
        for _ in 0..RECORDS_MAX {
            if self.ring.next().is_none() {
                break;
            }
        }
    }

    /// Takes at most `count` frames out of the ring.
    pub fn take(&mut self, count: usize) -> Vec<Seen> {
        let offset = boot_offset_ns();
        let mut all = Vec::new();
        while all.len() < count {
            let Some(record) = self.ring.next() else { break };
            all.extend(decode(&record, offset));
        }
        all
    }
}

fn open<M: TryFrom<Map, Error = MapError>>(name: &'static str, pin: &Path) -> Result<M> {
    MapData::from_pin(pin).and_then(Map::from_map_data).and_then(M::try_from).map_err(map_error(name, "open"))
}

/// Nanoseconds from the start of the monotonic clock to that of the wall clock.
fn boot_offset_ns() -> u64 {
    let Ok(monotonic) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_boot = Duration::from(monotonic);
    u64::try_from(wall.saturating_sub(since_boot).as_nanos()).unwrap_or(u64::MAX)
}

/// A record of the ring; nothing if it is not one of ours.
fn decode(record: &[u8], offset_ns: u64) -> Option<Seen> {
    let head = record.get(..size_of::<SeenHeader>())?;
    // SAFETY: as many bytes as the struct has, which is plain integers; unaligned reads are allowed for.
    let head: SeenHeader = unsafe { head.as_ptr().cast::<SeenHeader>().read_unaligned() };
    let captured = usize::try_from(head.captured_bytes).ok()?;
    let mut bytes = record.get(size_of::<SeenHeader>()..)?.get(..captured)?.to_vec();
    let mut frame_bytes = head.frame_bytes;
    if head.tag != 0 && bytes.len() >= ADDRESS_BYTES {
        bytes.splice(ADDRESS_BYTES..ADDRESS_BYTES, head.tag.to_be_bytes());
        frame_bytes = frame_bytes.saturating_add(4);
    }
    Some(Seen {
        unix_ns: head.time_ns.saturating_add(offset_ns),
        is_capture: head.kind == SEEN_CAPTURE,
        port: head.port,
        is_from_pod: head.direction == Direction::FromPod as u32,
        reason: DropReason::ALL.into_iter().find(|reason| *reason as u32 == head.reason),
        frame_bytes,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(head: &SeenHeader, bytes: &[u8]) -> Vec<u8> {
        let mut all = head.time_ns.to_ne_bytes().to_vec();
        for word in [
            head.kind,
            head.port,
            head.direction,
            head.reason,
            head.frame_bytes,
            head.captured_bytes,
            head.tag,
            0,
        ] {
            all.extend(word.to_ne_bytes());
        }
        all.extend(bytes);
        all
    }

    #[test]
    fn a_tag_beside_the_bytes_is_put_among_them() {
        let head = SeenHeader {
            time_ns: 5,
            port: 3,
            direction: 1,
            reason: DropReason::Tagged as u32,
            frame_bytes: 60,
            captured_bytes: 14,
            tag: 0x8100_0007,
            ..SeenHeader::ZERO
        };
        let seen = decode(&record(&head, &[9; 20]), 100).expect("a record");
        assert_eq!((seen.unix_ns, seen.port, seen.is_from_pod), (105, 3, true));
        assert_eq!((seen.reason, seen.frame_bytes), (Some(DropReason::Tagged), 64));
        assert_eq!(seen.bytes, [[9; 12].as_slice(), &[0x81, 0, 0, 7], &[9; 2]].concat());
    }

    #[test]
    fn a_record_that_is_cut_off_is_none() {
        let head = SeenHeader { captured_bytes: 14, ..SeenHeader::ZERO };
        let whole = record(&head, &[0; 14]);
        assert!(decode(&whole, 0).is_some());
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length], 0), None);
        }
    }
}
