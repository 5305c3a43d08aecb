//! Devices as sysfs shows them: which netdevs and which driver they have, which virtual function belongs to which
//! physical one.
//!
//! Names come from configs, so each is parsed strictly before it becomes part of a path. The root can be another
//! directory, for tests.

mod driver;
mod id;
mod kernel_path;
mod netdev;
mod vf;

use std::io;
use std::path::{Path, PathBuf};

use plexus_cni::{CniError, Code};

pub use driver::is_userspace_driver;
pub use id::{AuxiliaryName, DeviceId, PciAddress, WrongDeviceId};
pub use kernel_path::KernelPath;
pub use vf::VirtualFunction;

/// A file of sysfs could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {cause}", path.display())]
pub struct SysfsError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl From<SysfsError> for CniError {
    fn from(error: SysfsError) -> Self {
        let hint = match error.cause.kind() {
            io::ErrorKind::NotFound => "the device has gone, or /sys is not the host's",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "plexusd needs the host's /sys, writable where a driver has to be bound again"
            }
            _ => "the kernel refused it",
        };
        CniError::new(Code::Kernel, format!("cannot {} {}", error.what, error.path.display()))
            .because(format!("{}; {hint}", error.cause))
    }
}

/// A mounted sysfs.
#[derive(Clone, Debug)]
pub struct Sysfs {
    root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::at(Path::new("/sys"))
    }
}

impl Sysfs {
    /// The tree below `root` instead of `/sys`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether the device is there.
    pub fn has(&self, device: &DeviceId) -> bool {
        self.device(device).is_dir()
    }

    fn device(&self, device: &DeviceId) -> PathBuf {
        match device {
            DeviceId::Pci(address) => self.pci(*address),
            DeviceId::Auxiliary(name) => self.root.join("bus/auxiliary/devices").join(name.as_str()),
        }
    }

    fn pci(&self, address: PciAddress) -> PathBuf {
        self.root.join("bus/pci/devices").join(address.to_string())
    }
}

/// The last part of where a link leads; `None` where there is no link.
fn link_name(path: &Path) -> Result<Option<String>, SysfsError> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(target.file_name().map(|name| name.to_string_lossy().into_owned())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(cause) => Err(SysfsError { what: "read", path: path.to_owned(), cause }),
    }
}

/// Names in a directory, sorted; none where there is no directory.
fn names(path: &Path) -> Result<Vec<String>, SysfsError> {
    let failed = |cause| SysfsError { what: "list", path: path.to_owned(), cause };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
