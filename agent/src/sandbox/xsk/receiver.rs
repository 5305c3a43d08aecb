//! Receives the frames that an XDP program hands to it.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use xdp::slab::{Slab as _, StackSlab};
use xdp::socket::XdpSocket;
use xdp::{CompletionRing, RxRing, Umem, WakableFillRing};

use super::XskError;
use super::open::{Opened, Room, open};

/// Most receive queues of a device: each has a socket of its own.
pub const XSK_QUEUES_MAX: u32 = 16;

/// Frames that wait to be received, and as many that the kernel may fill meanwhile.
const WAITING: u32 = 2048;
const FRAMES: u32 = 2 * WAITING;
/// Most frames of one queue in one call.
const PER_CALL: usize = 64;
/// A receive that finds nothing returns after this, in milliseconds.
const WAIT_MS: u8 = 10;

/// AF_XDP sockets on every receive queue of a device.
pub struct XskReceiver {
    device: String,
    queues: Vec<Queue>,
    /// What the sockets' counters showed last.
    dropped_before: u64,
}

/// One queue.
struct Queue {
    rx: RxRing,
    fill: WakableFillRing,
    _completion: CompletionRing,
    socket: XdpSocket,
    // Last: rings and socket must be gone before it.
    umem: Umem,
}

impl fmt::Debug for XskReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("XskReceiver")
            .field("device", &self.device)
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}

impl XskReceiver {
    /// Takes every receive queue of `device` of this thread's network namespace. An XDP program must hand the frames over.
    pub fn open(device: &str) -> Result<Self, XskError> {
        let mut queues = Vec::new();
        for number in 0..=XSK_QUEUES_MAX {
            match Queue::open(device, number) {
                Ok(_) if number == XSK_QUEUES_MAX => return Err(XskError::TooManyQueues(device.to_owned())),
                Ok(queue) => queues.push(queue),
                // There is no such queue: those before it are all.
                Err(error) if number > 0 && error.is_queue_refused_with(Errno::EINVAL) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { device: device.to_owned(), queues, dropped_before: 0 })
    }

    /// The sockets, in the order of their queues, for the program's map.
    pub fn sockets(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.queues.iter().map(|queue| queue.socket.raw_fd())
    }

    /// Waits a moment for frames, hands each with its whole length to `each` and gives their number.
    pub fn receive(&mut self, mut each: impl FnMut(&[u8], usize)) -> Result<usize, XskError> {
        let count = self.take(&mut each)?;
        if count > 0 {
            return Ok(count);
        }
        let outcome = {
            let mut waiting: Vec<_> = self.queues.iter().map(Queue::waiting).collect();
            poll(&mut waiting, PollTimeout::from(WAIT_MS))
        };
        match outcome {
            Ok(_) | Err(Errno::EINTR) => self.take(&mut each),
            Err(errno) => Err(self.failed(errno.into())),
        }
    }

    /// Frames that found no room since this was asked last.
    pub fn dropped(&mut self) -> Result<u64, XskError> {
        let mut dropped = 0;
        for queue in &self.queues {
            let seen = queue.socket.statistics().map_err(|error| self.failed(io::Error::other(error)))?;
            dropped += seen.rx_dropped + seen.rx_ring_full;
        }
        Ok(dropped - std::mem::replace(&mut self.dropped_before, dropped).min(dropped))
    }

    fn take(&mut self, each: &mut impl FnMut(&[u8], usize)) -> Result<usize, XskError> {
        let mut count = 0;
        for queue in &mut self.queues {
            let taken = queue.take(each);
            count += taken.map_err(|source| XskError::Failed { device: self.device.clone(), source })?;
        }
        Ok(count)
    }

    fn failed(&self, source: io::Error) -> XskError {
        XskError::Failed { device: self.device.clone(), source }
    }
}

impl Queue {
    fn open(device: &str, number: u32) -> Result<Self, XskError> {
        let Opened { rings, socket, umem } =
            open(device, number, Room { frames: FRAMES, rx: WAITING, tx: 0 })?;
        let Some(rx) = rings.rx_ring else {
            return Err(XskError::Memory(io::Error::other("there is no ring to receive by")));
        };
        let mut queue = Self { rx, fill: rings.fill_ring, _completion: rings.completion_ring, socket, umem };
        queue
            .refill(FRAMES as usize)
            .map_err(|source| XskError::Failed { device: device.to_owned(), source })?;
        Ok(queue)
    }

    fn take(&mut self, each: &mut impl FnMut(&[u8], usize)) -> io::Result<usize> {
        let mut batch = StackSlab::<PER_CALL>::new();
        // SAFETY: every packet goes back into the memory before this function ends.
        let count = unsafe { self.rx.recv(&self.umem, &mut batch) };
        while let Some(packet) = batch.pop_back() {
            each(&packet, packet.len());
            self.umem.free_packet(packet);
        }
        self.refill(count)?;
        Ok(count)
    }

    /// Gives the kernel room for so many frames. In copy mode it needs not be told.
    fn refill(&mut self, count: usize) -> io::Result<()> {
        // SAFETY: the memory is dropped after the socket: it is the last field.
        unsafe { self.fill.enqueue(&mut self.umem, count, false) }.map(drop)
    }

    fn waiting(&self) -> PollFd<'_> {
        // SAFETY: the socket lives as long as `self`, which the result borrows.
        PollFd::new(unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }, PollFlags::POLLIN)
    }
}
