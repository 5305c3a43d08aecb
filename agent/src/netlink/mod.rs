//! Links, addresses and routes, over one netlink socket: the host's, or one that the shim opened inside a pod.
//!
//! Calls block, because the kernel does the work inside `sendmsg` and may wait for RTNL there; they run on worker
//! threads (see [`crate::worker`]), never on the server's.

mod address;
mod bridge_vlan;
mod dad;
mod link;
mod route;
mod station;

use std::os::fd::OwnedFd;
use std::rc::Rc;

use futures_util::StreamExt as _;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use plexus_cni::{CniError, Code};
use rtnetlink::Handle;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub use dad::DadState;
pub use link::{Link, LinkPlan, MacvlanMode};

use crate::{fault, sandbox};

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
            Errno::ENODEV => "the link does not exist (any more)",
            _ => "the kernel refused it",
        };
        CniError::new(Code::Kernel, format!("cannot {}", error.what))
            .because(format!("{}; {hint}", error.errno))
    }
}

/// One netlink socket. Not `Send`: it belongs to the worker thread that made it.
pub struct Netlink {
    runtime: Rc<Runtime>,
    handle: Handle,
    connection: Option<JoinHandle<()>>,
}

impl Netlink {
    /// A socket in the network namespace of this thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let failed = |_| NetlinkError { what: "open a netlink socket".into(), errno: Errno::last() };
        let runtime = Rc::new(Builder::new_current_thread().enable_io().build().map_err(failed)?);
        let entered = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        drop(entered);
        let connection = Some(runtime.spawn(connection));
        Ok(Self { runtime, handle, connection })
    }

    /// A socket that somebody opened in another network namespace; it is closed when this value is dropped.
    pub fn adopt(&self, socket: OwnedFd) -> Result<Self, NetlinkError> {
        let runtime = Rc::clone(&self.runtime);
        let entered = runtime.enter();
        let socket = sandbox::netlink_socket(socket).map_err(|errno| NetlinkError {
            what: "use the netlink socket that the shim passed".into(),
            errno,
        })?;
        let (connection, handle, _) = rtnetlink::from_socket(socket);
        drop(entered);
        let connection = Some(runtime.spawn(connection));
        Ok(Self { runtime, handle, connection })
    }

    /// Sends one request and collects the answers; `what` completes "cannot …" in an error.
    fn request(
        &self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let outcome = self.runtime.block_on(async {
            let mut handle = self.handle.clone();
            let mut answers = handle.request(request).map_err(|_| Errno::EPIPE)?;
            let mut messages = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Errno::from_raw(error.raw_code().saturating_abs()));
                    }
                    NetlinkPayload::InnerMessage(message) => messages.push(message),
                    _ => {}
                }
            }
            Ok(messages)
        });
        outcome.map_err(|errno| NetlinkError { what: what(), errno })
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

impl Drop for Netlink {
    /// Closes the socket now: one that was opened inside a pod would keep the pod's namespace alive.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abort();
            // The only outcome is the cancellation just asked for.
            drop(self.runtime.block_on(connection));
        }
    }
}
