//! Which network namespace a path meant, so that a reused path is not taken for the same one.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::stat::{fstat, stat};
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

/// The identity of a network namespace: within one boot, device and inode of its nsfs file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsId {
    /// The path as the runtime named it.
    pub path: String,
    /// Device of the nsfs file.
    pub device: u64,
    /// Inode of the nsfs file.
    pub inode: u64,
    /// The path led there as seen by plexusd: when it does no longer, the namespace is gone. An agent in a container
    /// without that mount cannot tell.
    pub is_visible: bool,
}

impl NetnsId {
    /// The identity of an open network namespace.
    pub fn of(path: &str, netns: BorrowedFd<'_>) -> Result<Self, CniError> {
        let stat = fstat(netns).map_err(|errno| {
            CniError::new(Code::InvalidNetns, format!("CNI_NETNS {path} cannot be identified"))
                .because(errno.to_string())
        })?;
        let mut id =
            Self { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino, is_visible: false };
        id.is_visible = id.leads_there();
        Ok(id)
    }

    /// Whether the path leads to this very namespace now.
    pub fn leads_there(&self) -> bool {
        stat(self.path.as_str()).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.device, self.inode))
    }

    /// Whether the namespace is gone for certain.
    ///
    /// The directory must be there still: it may have been a mount of plexusd's container that the next one lacks, and then
    /// every namespace of the node would seem to be gone. Below /proc it is the process that has gone.
    pub fn is_gone(&self) -> bool {
        let path = Path::new(&self.path);
        let can_tell = path.starts_with("/proc") || path.parent().is_some_and(Path::is_dir);
        self.is_visible && can_tell && !self.leads_there()
    }

    /// Whether both are the same namespace, by whatever path.
    pub fn is_same(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// The id of this boot of the kernel.
pub fn boot_id() -> Result<String, CniError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(|error| {
        CniError::new(Code::State, format!("cannot read {path}")).because(error.to_string())
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_namespace_is_gone_when_its_file_is_but_not_when_its_directory_is() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = dir.path().join("netns");
        fs::create_dir(&mounts).unwrap();
        let path = mounts.join("a");
        let file = File::create(&path).unwrap();
        let id = NetnsId::of(path.to_str().unwrap(), file.as_fd()).unwrap();
        assert!(id.is_visible && !id.is_gone());
        fs::remove_file(&path).unwrap();
        assert!(id.is_gone());
        fs::remove_dir(&mounts).unwrap();
        assert!(!id.is_gone(), "a mount that is missing says nothing");
    }

    #[test]
    fn a_namespace_that_was_never_visible_is_not_known_to_be_gone() {
        let file = File::open("/").unwrap();
        let id = NetnsId::of("/no/such/netns/a", file.as_fd()).unwrap();
        assert!(!id.is_visible && !id.is_gone());
    }
}
