//! Sends frames by one queue of a device.

use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use xdp::slab::{Slab as _, StackSlab};
use xdp::socket::XdpSocket;
use xdp::{CompletionRing, Umem, WakableFillRing, WakableTxRing};

use super::XskError;
use super::open::{Opened, Room, open};

/// Frames on their way at most; so neither ring is ever full, and the room for frames is the only limit.
const FRAMES: u32 = 1024;
/// Most frames of one call.
const PER_CALL: usize = 64;
/// The kernel sends some 32 frames each time it is told to; one call tells it at most so often.
const WAKES_MAX: usize = 8;
/// Frames that the kernel has not given back after this are lost to us.
const DRAIN_MAX: Duration = Duration::from_millis(500);
const DRAIN_LOOK: Duration = Duration::from_micros(100);

/// An AF_XDP socket that sends on queue 0 of a device.
pub struct XskSender {
    device: String,
    tx: WakableTxRing,
    completion: CompletionRing,
    _fill: WakableFillRing,
    socket: XdpSocket,
    /// Frames that the device threw away and that no caller has heard of.
    refused: usize,
    // Last: rings and socket must be gone before it.
    umem: Umem,
}

impl fmt::Debug for XskSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("XskSender").field("device", &self.device).finish_non_exhaustive()
    }
}

impl XskSender {
    /// Sends on queue 0 of `device` of this thread's network namespace.
    pub fn open(device: &str) -> Result<Self, XskError> {
        let Opened { rings, socket, umem } = open(device, 0, Room { frames: FRAMES, rx: 0, tx: FRAMES })?;
        let Some(tx) = rings.tx_ring else {
            return Err(XskError::Memory(io::Error::other("there is no ring to send by")));
        };
        Ok(Self {
            device: device.to_owned(),
            tx,
            completion: rings.completion_ring,
            _fill: rings.fill_ring,
            socket,
            refused: 0,
            umem,
        })
    }

    /// Hands over the first frames that find room and gives their number, less those of before that the device refused.
    pub fn send(&mut self, frames: &[Vec<u8>]) -> Result<usize, XskError> {
        self.reclaim();
        let mut batch = StackSlab::<PER_CALL>::new();
        for frame in frames.iter().take(PER_CALL) {
            // SAFETY: the packet goes into a ring or back into the memory before this function ends.
            let Some(mut packet) = (unsafe { self.umem.alloc() }) else { break };
            let is_whole = packet.append(frame).is_ok();
            // The batch has room for as many as are taken.
            batch.push_front(packet);
            if !is_whole {
                self.give_back(&mut batch);
                return Err(XskError::TooLong(frame.len()));
            }
        }
        // SAFETY: the memory is dropped after the socket: it is the last field.
        let queued = unsafe { self.tx.send(&mut batch, false) };
        self.give_back(&mut batch);
        let queued = queued.map_err(|source| self.failed(source))?;
        self.wake()?;
        Ok(self.settle(queued))
    }

    /// Waits until the kernel has sent all, and gives the number of frames that it did not send after all.
    pub fn finish(&mut self) -> Result<usize, XskError> {
        let started = Instant::now();
        self.reclaim();
        while self.on_their_way() > 0 && started.elapsed() < DRAIN_MAX {
            self.wake()?;
            thread::sleep(DRAIN_LOOK);
            self.reclaim();
        }
        Ok(self.on_their_way() + std::mem::take(&mut self.refused))
    }

    fn on_their_way(&self) -> usize {
        (FRAMES as usize).saturating_sub(self.umem.allocatable())
    }

    fn reclaim(&mut self) {
        self.completion.dequeue(&mut self.umem, FRAMES as usize);
    }

    fn give_back(&mut self, batch: &mut StackSlab<PER_CALL>) {
        while let Some(packet) = batch.pop_back() {
            self.umem.free_packet(packet);
        }
    }

    /// Takes off what the device refused.
    fn settle(&mut self, queued: usize) -> usize {
        let taken_off = self.refused.min(queued);
        self.refused -= taken_off;
        queued - taken_off
    }

    /// Tells the kernel that there are frames; in copy mode it sends them within the call.
    fn wake(&mut self) -> Result<(), XskError> {
        for _ in 0..WAKES_MAX {
            match send(self.socket.raw_fd(), &[], MsgFlags::MSG_DONTWAIT) {
                Ok(_) => return Ok(()),
                // A frame found the device full and is gone; those behind it wait.
                Err(Errno::EBUSY) => self.refused += 1,
                // There is more than one call sends, or no room for more right now.
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => {}
                Err(errno) => return Err(self.failed(errno.into())),
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> XskError {
        XskError::Failed { device: self.device.clone(), source }
    }
}
