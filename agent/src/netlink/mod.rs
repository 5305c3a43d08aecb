//! Links, addresses and routes, over one netlink socket: the host's, or one that the shim opened inside a pod.
//!
//! Calls block, because the kernel does the work inside `sendmsg` and may wait for RTNL there; they run on worker
//! threads (see [`crate::worker`]), never on the server's.

mod address;
mod bridge_vlan;
mod connected;
mod dad;
mod exchange;
mod link;
mod neighbour;
mod qdisc;
mod route;
mod rule;
mod station;
mod table;
mod vf;

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockname, socket};
use plexus_cni::{CniError, Code};

pub use dad::DadState;
pub use link::{IpvlanMode, Link, LinkPlan, MacvlanMode, MovePlan};
pub use qdisc::{FQ, RootQdisc};
pub use rule::Rule;
pub use table::{KernelRoute, TABLE_MAIN};
pub use vf::{VfChange, VfLinkState, VfRates, VfState, VfVlan, VlanProtocol};

use self::exchange::Exchange;
use crate::fault;

/// What the kernel refused, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {what}: {errno}")]
pub struct NetlinkError {
    /// What was tried, on which link.
    pub what: String,
    /// The kernel's reason.
    pub errno: Errno,
}

impl From<NetlinkError> for CniError {
    fn from(error: NetlinkError) -> Self {
        let hint = match error.errno {
            Errno::EPERM | Errno::EACCES => "plexusd needs CAP_NET_ADMIN",
            Errno::EOPNOTSUPP => "the kernel lacks this kind of link, or the parent does not allow it",
            Errno::EBUSY => "the parent link is used by something that excludes this",
            Errno::ENETDOWN => "the parent link is down: set it up",
            Errno::ENODEV => "the link does not exist (any more)",
            _ => "the kernel refused it",
        };
        CniError::new(Code::Kernel, format!("cannot {}", error.what))
            .because(format!("{}; {hint}", error.errno))
    }
}

/// One netlink socket. Not `Sync`: it belongs to the thread that uses it.
pub struct Netlink {
    exchange: Exchange,
}

impl Netlink {
    /// A socket in the network namespace of this thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .map(|socket| Self { exchange: Exchange::over(socket) })
            .map_err(|errno| NetlinkError { what: "open a netlink socket".into(), errno })
    }

    /// A socket that somebody opened in another network namespace; it is closed when this value is dropped, as one that
    /// was opened inside a pod keeps the pod's namespace alive. Anything but a netlink socket is refused.
    pub fn adopt(socket: OwnedFd) -> Result<Self, NetlinkError> {
        // An address of another family does not convert.
        getsockname::<NetlinkAddr>(socket.as_raw_fd()).map_err(|errno| NetlinkError {
            what: "use the netlink socket that the shim passed".into(),
            errno,
        })?;
        Ok(Self { exchange: Exchange::over(socket) })
    }

    /// The socket, for requests that belong to another room; not to be read from while a request of ours is under way.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.exchange.socket()
    }

    /// Sends one request and collects the answers; `what` completes "cannot …" in an error.
    fn request(
        &self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.exchange.ask(message, flags).map_err(|errno| NetlinkError { what: what(), errno })
    }

    /// Sends one request that is answered by an acknowledgement alone.
    fn acknowledged(
        &self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        self.request(what, message, flags | NLM_F_ACK)?;
        fault::point();
        Ok(())
    }
}
