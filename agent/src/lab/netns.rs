//! A network namespace held by a path.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::fstat;

use super::LabError;
use super::command::{Finished, run};
use super::link::interface_names;
use crate::sandbox;

/// The calling thread's network namespace.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// A network namespace: bind-mounted at a path (for `CNI_NETNS`) and held open.
///
/// It needs no `Drop`: its mount lives in the host's private mount namespace and goes with it.
#[derive(Clone, Debug)]
pub struct NetNs {
    path: PathBuf,
    handle: Arc<OwnedFd>,
}

impl NetNs {
    /// A new namespace with `lo` up, bound to the new file `path`.
    pub(super) fn create(path: &Path) -> Result<Self, LabError> {
        let netns = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).map_err(LabError::io("unshare a network namespace"))?;
                Self::pin_current(path)
            });
            made.join().unwrap_or_else(|_| {
                Err(LabError::Unexpected {
                    what: format!("making the network namespace {}", path.display()),
                    expected: "a namespace".into(),
                    seen: "a panic".into(),
                })
            })
        })?;
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// The calling thread's namespace, bound to the new file `path`.
    pub(super) fn pin_current(path: &Path) -> Result<Self, LabError> {
        File::create_new(path).map_err(LabError::io(format!("create {}", path.display())))?;
        mount(Some(CURRENT), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(LabError::io(format!("bind a network namespace to {}", path.display())))?;
        let handle = File::open(path).map_err(LabError::io(format!("open {}", path.display())))?;
        Ok(Self { path: path.to_owned(), handle: Arc::new(handle.into()) })
    }

    /// The calling thread's namespace as it is, without a file of its own: for devices that the user names.
    pub fn of_this_thread() -> Result<Self, LabError> {
        let handle = File::open(CURRENT).map_err(LabError::io(format!("open {CURRENT}")))?;
        Ok(Self { path: PathBuf::from(CURRENT), handle: Arc::new(handle.into()) })
    }

    /// The path for `CNI_NETNS`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, as the shim would pass it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// The inode that identifies the namespace while it lives.
    pub fn inode(&self) -> Result<u64, LabError> {
        let stat = fstat(self.fd()).map_err(LabError::io(format!("stat {}", self.path.display())))?;
        Ok(stat.st_ino)
    }

    /// Runs `work` inside, on a thread of its own. A socket opened there stays in the namespace when it is returned.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        Ok(sandbox::within(self.fd(), work)?)
    }

    /// Runs a command inside and gives back what it printed; a failure is an error.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Finished, LabError> {
        self.within(|| run(Command::new(program).args(arguments)))?
    }

    /// Runs `ip ARGUMENTS` inside.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), LabError> {
        self.run("ip", arguments).map(drop)
    }

    /// Names of the interfaces inside, sorted.
    pub fn interfaces(&self) -> Result<Vec<String>, LabError> {
        self.within(interface_names)?
    }

    /// Unbinds the path, as a container runtime does when the pod is gone; the kernel ends the namespace with the
    /// last descriptor.
    pub fn remove(self) -> Result<(), LabError> {
        umount2(&self.path, MntFlags::MNT_DETACH)
            .map_err(LabError::io(format!("unmount {}", self.path.display())))?;
        std::fs::remove_file(&self.path).map_err(LabError::io(format!("remove {}", self.path.display())))
    }
}
