//! The only place that enters a network namespace.
//!
//! Links, addresses and routes of a pod go through the netlink socket that the shim opened there, so almost nothing
//! needs this room: sysctl files where no shim is at hand to write them, and sockets that it did not pass.

#![allow(
    unsafe_code,
    reason = "descriptors passed by the shim, the ioctls of ethtool and TAP devices, packet sockets and AF_XDP's rings; each block says why it is sound"
)]

mod descriptors;
#[cfg(feature = "lab")]
mod frames;
mod packet;
mod socket;
mod sysctl;
mod tap;
#[cfg(feature = "lab")]
mod xsk;

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType};

use crate::fault;

pub use descriptors::receive;
#[cfg(feature = "lab")]
pub use frames::{FRAMES_PER_CALL, FrameBuffers, FrameSocket, KEPT_BYTES};
pub use packet::{PacketSocket, Packets};
pub use socket::enable_gro;
pub use sysctl::work_sysctls;
pub use tap::{Tap, TapError, TapPlan};
#[cfg(feature = "lab")]
pub use xsk::{XSK_FRAME_BYTES_MAX, XSK_QUEUES_MAX, XskError, XskReceiver, XskSender};

/// Why something could not run inside a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// `setns(2)` refused the descriptor: not a network namespace, or CAP_SYS_ADMIN is missing.
    #[error("cannot enter the pod's network namespace: {0}; plexusd needs CAP_SYS_ADMIN for in-pod hooks")]
    Enter(nix::Error),
    /// No socket could be opened there.
    #[error("cannot open a netlink socket in the pod's network namespace: {0}")]
    Socket(nix::Error),
    /// No namespace could be made: CAP_SYS_ADMIN is missing.
    #[error("cannot make a network namespace: {0}; plexusd needs CAP_SYS_ADMIN for it")]
    Make(std::io::Error),
    /// No socket for packets could be opened on the pod's link.
    #[error("cannot open a packet socket on the pod's interface: {0}; plexusd needs CAP_NET_RAW for DHCP")]
    Packet(nix::Error),
    /// The thread that entered the namespace could not be started or ended by a panic.
    #[error("the thread inside the pod's network namespace could not run: {0}")]
    Thread(String),
}

/// Opens a NETLINK_ROUTE socket inside the network namespace `netns`; it stays there, whoever uses it.
pub fn open_netlink(netns: BorrowedFd<'_>) -> Result<OwnedFd, SandboxError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let open =
        || nix::sys::socket::socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute);
    within(netns, open)?.map_err(SandboxError::Socket)
}

/// A new network namespace that ends with the descriptor.
pub fn scratch() -> Result<OwnedFd, SandboxError> {
    let enter_new = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    };
    let thread = std::thread::Builder::new().name("scratch".into()).spawn(enter_new);
    let thread = thread.map_err(|error| SandboxError::Thread(error.to_string()))?;
    let made = thread.join().map_err(|_| SandboxError::Thread("it panicked".into()))?;
    made.map(OwnedFd::from).map_err(SandboxError::Make)
}

/// Runs `work` on a thread of its own inside the network namespace `netns`, and returns what it returned.
///
/// The thread ends afterwards, so no pooled thread can keep running in a foreign namespace.
pub fn within<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> Result<T, SandboxError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn_scoped(scope, move || {
                setns(netns, CloneFlags::CLONE_NEWNET).map_err(SandboxError::Enter)?;
                Ok(work())
            })
            .map_err(|error| SandboxError::Thread(error.to_string()))?;
        let outcome = thread.join().map_err(|_| SandboxError::Thread("it panicked".into()))?;
        fault::point();
        outcome
    })
}
