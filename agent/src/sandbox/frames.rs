//! Whole Ethernet frames on one link, many in one system call: what the benchmarks send and receive with.

use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::packet::filter;

/// Most frames of one system call.
pub const FRAMES_PER_CALL: usize = 64;
/// Bytes of a received frame that are kept: its headers and what stands right behind them.
pub const KEPT_BYTES: usize = 128;

/// Room for frames that are waiting, in bytes.
const RECEIVE_BUFFER_BYTES: c_int = 64 << 20;
/// A receive that finds nothing returns after this.
const WAIT_US: libc::suseconds_t = 10_000;
/// Ethernet's type of IPv4 (ETH_P_IP) as a socket's address wants it.
const IPV4: u16 = 0x0800_u16.to_be();
/// linux/if_packet.h.
const PACKET_STATISTICS: c_int = 6;
const PACKET_QDISC_BYPASS: c_int = 20;

/// An AF_PACKET socket for frames with their Ethernet header.
#[derive(Debug)]
pub struct FrameSocket {
    socket: OwnedFd,
}

/// Where received frames are put; made once, used for every call.
#[derive(Debug)]
pub struct FrameBuffers {
    bytes: Vec<[u8; KEPT_BYTES]>,
}

impl Default for FrameBuffers {
    fn default() -> Self {
        Self { bytes: vec![[0; KEPT_BYTES]; FRAMES_PER_CALL] }
    }
}

/// The kernel's `struct tpacket_stats`.
#[repr(C)]
#[derive(Default)]
struct PacketStatistics {
    packets: u32,
    dropped: u32,
}

impl FrameSocket {
    /// Sends on `device` of this thread's network namespace, past its queueing discipline; receives nothing.
    pub fn sender(device: &str) -> Result<Self, Errno> {
        let opened = Self::open()?;
        opened.set(libc::SOL_PACKET, PACKET_QDISC_BYPASS, &1_i32)?;
        opened.bind(device, 0)?;
        Ok(opened)
    }

    /// Receives what arrives at `device` of this thread's network namespace as UDP over IPv4 to `port`.
    pub fn receiver(device: &str, port: u16) -> Result<Self, Errno> {
        let opened = Self::open()?;
        let mut code = [
            // IPv4, without options as the sender makes it,
            filter(0x28, 0, 0, 12),
            filter(0x15, 0, 5, 0x0800),
            // UDP,
            filter(0x30, 0, 0, 23),
            filter(0x15, 0, 3, 17),
            // and the port.
            filter(0x28, 0, 0, 36),
            filter(0x15, 0, 1, port.into()),
            filter(0x06, 0, 0, 0xffff),
            filter(0x06, 0, 0, 0),
        ];
        let program = libc::sock_fprog { len: 8, filter: code.as_mut_ptr() };
        opened.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        // Beyond the system's limit only with CAP_NET_ADMIN, which a pod need not have.
        opened
            .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER_BYTES)
            .or_else(|_| opened.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_BUFFER_BYTES))?;
        let wait = libc::timeval { tv_sec: 0, tv_usec: WAIT_US };
        opened.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &wait)?;
        opened.bind(device, IPV4)?;
        Ok(opened)
    }

    fn open() -> Result<Self, Errno> {
        // Without a protocol it receives nothing until it is bound.
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)?;
        Ok(Self { socket })
    }

    /// Sets an option to a value of the type that the kernel reads for it.
    fn set<T>(&self, level: c_int, option: c_int, value: &T) -> Result<(), Errno> {
        let size = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the kernel reads `size` bytes of `value`, and what a filter points to; both outlive the call.
        let outcome = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast::<c_void>(),
                size,
            )
        };
        Errno::result(outcome).map(drop)
    }

    fn bind(&self, device: &str, protocol: u16) -> Result<(), Errno> {
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).map_err(|_| Errno::EINVAL)?,
            sll_protocol: protocol,
            sll_ifindex: c_int::try_from(if_nametoindex(device)?).map_err(|_| Errno::EINVAL)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(|_| Errno::EINVAL)?;
        // SAFETY: `address` is a sockaddr_ll of this size, and outlives the call.
        let outcome = unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), size) };
        Errno::result(outcome).map(drop)
    }

    /// Sends the first [`FRAMES_PER_CALL`] of `frames`; gives how many the device took, which are the first ones.
    pub fn send(&self, frames: &[Vec<u8>]) -> Result<usize, Errno> {
        let count = frames.len().min(FRAMES_PER_CALL);
        // SAFETY: null pointers and zero lengths are what these structs may hold.
        let (mut vectors, mut messages): ([libc::iovec; FRAMES_PER_CALL], [libc::mmsghdr; FRAMES_PER_CALL]) =
            unsafe { (zeroed(), zeroed()) };
        for ((vector, message), frame) in vectors.iter_mut().zip(&mut messages).zip(frames) {
            vector.iov_base = frame.as_ptr().cast_mut().cast();
            vector.iov_len = frame.len();
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        let length = libc::c_uint::try_from(count).map_err(|_| Errno::EINVAL)?;
        // SAFETY: `length` messages, each with one vector over a frame; the kernel only reads, and all outlives the call.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), length, libc::MSG_DONTWAIT)
        };
        match Errno::result(sent) {
            Ok(sent) => Ok(usize::try_from(sent).unwrap_or_default()),
            // The device is full, or an interrupt came first: nothing was sent.
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    /// Waits a moment for frames and hands each to `each`: its first [`KEPT_BYTES`], and its whole length.
    pub fn receive(
        &self,
        buffers: &mut FrameBuffers,
        mut each: impl FnMut(&[u8], usize),
    ) -> Result<usize, Errno> {
        // SAFETY: null pointers and zero lengths are what these structs may hold.
        let (mut vectors, mut messages): ([libc::iovec; FRAMES_PER_CALL], [libc::mmsghdr; FRAMES_PER_CALL]) =
            unsafe { (zeroed(), zeroed()) };
        for ((vector, message), bytes) in vectors.iter_mut().zip(&mut messages).zip(&mut buffers.bytes) {
            vector.iov_base = bytes.as_mut_ptr().cast();
            vector.iov_len = KEPT_BYTES;
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        let length = libc::c_uint::try_from(FRAMES_PER_CALL).map_err(|_| Errno::EINVAL)?;
        // SAFETY: as many messages as `length` says, each with one vector over KEPT_BYTES of its own; all outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                length,
                libc::MSG_WAITFORONE | libc::MSG_TRUNC,
                ptr::null_mut(),
            )
        };
        let received = match Errno::result(received) {
            Ok(received) => usize::try_from(received).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        for (message, bytes) in messages.iter().zip(&buffers.bytes).take(received) {
            let whole = message.msg_len as usize;
            each(&bytes[..whole.min(KEPT_BYTES)], whole);
        }
        Ok(received)
    }

    /// Frames for this socket that found no room since this was asked last.
    pub fn dropped(&self) -> Result<u64, Errno> {
        let mut statistics = PacketStatistics::default();
        let mut size = libc::socklen_t::try_from(size_of::<PacketStatistics>()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the kernel writes at most `size` bytes, the struct's own; both outlive the call.
        let outcome = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut size,
            )
        };
        Errno::result(outcome).map(|_| u64::from(statistics.dropped))
    }
}
