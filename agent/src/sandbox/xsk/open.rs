//! A socket with its rings and its memory, bound to one queue of a device.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use xdp::nic::NicIndex;
use xdp::socket::{XdpSocket, XdpSocketBuilder};
use xdp::umem::{FrameSize, UmemCfgBuilder};
use xdp::{RingConfigBuilder, Umem, WakableRings};

use super::XskError;

/// Longest frame without FCS, in bytes: a page, less what the kernel keeps at its begin.
pub const XSK_FRAME_BYTES_MAX: usize = 4096 - 256;

/// The kernel gives a queue back some time after its socket was closed; this is waited for it.
const HELD_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Sizes of memory and rings, powers of two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Pieces of memory, one frame each.
    pub(super) frames: u32,
    /// Entries; 0 for a socket that does not receive.
    pub(super) rx: u32,
    /// Entries; 0 for a socket that does not send.
    pub(super) tx: u32,
}

/// A bound socket. The memory stands last: rings and socket must be gone before it.
pub(super) struct Opened {
    pub(super) rings: WakableRings,
    pub(super) socket: XdpSocket,
    pub(super) umem: Umem,
}

/// Binds a socket to `queue` of `device`, which is one of this thread's network namespace; in copy mode.
pub(super) fn open(device: &str, queue: u32, room: Room) -> Result<Opened, XskError> {
    let started = Instant::now();
    loop {
        match attempt(device, queue, room) {
            Err(error) if error.is_queue_refused_with(Errno::EBUSY) && started.elapsed() < HELD_MAX => {
                thread::sleep(LOOK_EVERY);
            }
            outcome => return outcome,
        }
    }
}

fn attempt(device: &str, queue: u32, room: Room) -> Result<Opened, XskError> {
    let index = if_nametoindex(device).map_err(|_| XskError::NoDevice(device.to_owned()))?;
    let memory =
        UmemCfgBuilder { frame_size: FrameSize::FourK, frame_count: room.frames, ..Default::default() };
    let memory = memory.build().map_err(|error| XskError::Memory(io::Error::other(error)))?;
    let umem = Umem::map(memory).map_err(XskError::Memory)?;
    let sizes = RingConfigBuilder {
        rx_count: room.rx,
        tx_count: room.tx,
        fill_count: room.frames,
        completion_count: room.frames,
    };
    let sizes = sizes.build().map_err(|error| XskError::Memory(io::Error::other(error)))?;
    let mut builder = XdpSocketBuilder::new().map_err(XskError::of_setup)?;
    let (rings, mut flags) = builder.build_wakable_rings(&umem, sizes).map_err(XskError::of_setup)?;
    flags.force_copy();
    let socket = builder
        .bind(NicIndex::new(index), queue, flags)
        .map_err(|error| XskError::of_bind(device, queue, error))?;
    Ok(Opened { rings, socket, umem })
}
