//! The container's network namespace as two descriptors: the namespace, and a netlink socket inside it.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use plexus_cni::{CniError, Code};

/// Why `CNI_NETNS` gives no descriptors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetnsError {
    /// Nothing is there (any more).
    #[error("it cannot be opened: {0}")]
    Gone(nix::Error),
    /// It is something else.
    #[error("it is not a network namespace")]
    Foreign,
    /// It is the namespace that we run in, so the host's.
    #[error("it is the plugin's own network namespace")]
    Own,
    /// The kernel refused a step that should work.
    #[error("{0}: {1}")]
    Kernel(&'static str, nix::Error),
}

impl NetnsError {
    /// Whether the container's namespace does not exist: a DEL then does without (C071, C072).
    pub(crate) fn is_absence(&self) -> bool {
        !matches!(self, Self::Kernel(..))
    }

    /// The error that ADD and CHECK end with.
    pub(crate) fn explain(&self, path: &str) -> CniError {
        let advice = match self {
            Self::Own => "a container needs a namespace of its own; CNI_NETNS_OVERRIDE=1 allows this one",
            Self::Kernel(..) => "the plugin needs root's rights (CAP_SYS_ADMIN)",
            _ => "the container runtime must make the namespace before the call",
        };
        CniError::new(Code::InvalidNetns, format!("CNI_NETNS {path:?} cannot be used"))
            .because(format!("{self}; {advice}"))
    }
}

/// Opens the namespace at `path` and a NETLINK_ROUTE socket inside it, in this order.
///
/// The calling thread, the only one of this process, is back in its own namespace afterwards; where coming back fails
/// the call must end, which every [`NetnsError::Kernel`] does.
pub(crate) fn open_netns(path: &str, own_is_allowed: bool) -> Result<[OwnedFd; 2], NetnsError> {
    // O_NONBLOCK: a FIFO must not hold us (C061). O_NOCTTY: nor a terminal get hold of us.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let netns = open(path, flags, Mode::empty()).map_err(|error| match error {
        nix::Error::EMFILE | nix::Error::ENFILE | nix::Error::ENOMEM | nix::Error::EACCES => {
            NetnsError::Kernel("opening it", error)
        }
        error => NetnsError::Gone(error),
    })?;
    let filesystem = fstatfs(&netns).map_err(|error| NetnsError::Kernel("fstatfs", error))?.filesystem_type();
    if filesystem != NSFS_MAGIC {
        return Err(NetnsError::Foreign);
    }
    let own: OwnedFd = File::open("/proc/self/ns/net")
        .map_err(|error| {
            let errno = nix::Error::from_raw(error.raw_os_error().unwrap_or_default());
            NetnsError::Kernel("opening /proc/self/ns/net", errno)
        })?
        .into();
    if is_same(&netns, &own)? && !own_is_allowed {
        return Err(NetnsError::Own);
    }
    // setns compares the kind: another namespace than a network's gives EINVAL.
    setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|error| match error {
        nix::Error::EINVAL => NetnsError::Foreign,
        error => NetnsError::Kernel("entering it", error),
    })?;
    let kind = SockType::Raw;
    let opened = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute);
    setns(own.as_fd(), CloneFlags::CLONE_NEWNET)
        .map_err(|error| NetnsError::Kernel("coming back from it", error))?;
    let rtnetlink = opened.map_err(|error| NetnsError::Kernel("opening a netlink socket inside", error))?;
    Ok([netns, rtnetlink])
}

/// Runs `work` inside the namespace, on a thread that ends afterwards: whatever becomes of it, the shim itself stays where
/// it is, and so do the plugins that it executes.
pub(crate) fn within<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let entered = std::thread::Builder::new().spawn_scoped(scope, move || {
            setns(netns, CloneFlags::CLONE_NEWNET).map_err(|errno| errno.to_string())?;
            Ok(work())
        });
        let thread = entered.map_err(|error| error.to_string())?;
        thread.join().unwrap_or_else(|_| Err("its thread panicked".into()))
    })
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, NetnsError> {
    let identity = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let fail = |error| NetnsError::Kernel("fstat", error);
    Ok(identity(one).map_err(fail)? == identity(other).map_err(fail)?)
}
