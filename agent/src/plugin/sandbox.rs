//! The container's network namespace, held open for the length of one request.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plexus_cni::{CniError, Code};

use crate::netlink::Netlink;
use crate::record::NetnsId;
use crate::sandbox::open_netlink;

/// An open network namespace and a netlink socket inside it.
pub struct Sandbox {
    /// Path and identity.
    pub id: NetnsId,
    /// The namespace.
    pub netns: OwnedFd,
    /// A netlink socket inside it.
    pub netlink: Netlink,
}

impl Sandbox {
    /// The namespace and the socket that the shim passed.
    pub fn passed(path: &str, netns: OwnedFd, socket: OwnedFd) -> Result<Self, CniError> {
        let id = NetnsId::of(path, netns.as_fd())?;
        Self::with(id, netns, socket)
    }

    /// The namespace that a record names, if its path still leads to that very one.
    pub fn reopen(known: &NetnsId) -> Option<Self> {
        let netns = OwnedFd::from(File::open(&known.path).ok()?);
        let id = NetnsId::of(&known.path, netns.as_fd()).ok().filter(|id| id.is_same(known))?;
        let socket = open_netlink(netns.as_fd()).ok()?;
        Self::with(id, netns, socket).ok()
    }

    /// The namespace at a path that no record vouches for; `None` where it leads to none.
    pub fn at(path: &str) -> Option<Self> {
        let netns = OwnedFd::from(File::open(path).ok()?);
        let socket = open_netlink(netns.as_fd()).ok()?;
        Self::with(NetnsId::of(path, netns.as_fd()).ok()?, netns, socket).ok()
    }

    fn with(id: NetnsId, netns: OwnedFd, socket: OwnedFd) -> Result<Self, CniError> {
        Ok(Self { id, netns, netlink: Netlink::adopt(socket)? })
    }

    /// A socket inside the namespace, for ioctls on its devices.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.netlink.socket()
    }

    /// Why a call for a container without its namespace cannot be served.
    pub fn missing() -> CniError {
        CniError::new(Code::InvalidNetns, "the container's network namespace is not there")
            .because("CNI_NETNS was not passed, or names another namespace than at ADD")
    }
}
