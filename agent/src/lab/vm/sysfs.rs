//! Devices as sysfs shows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::LabError;

/// Interfaces of the network namespace in which sysfs was mounted.
const INTERFACES: &str = "/sys/class/net";
/// An emulated processor on a busy machine takes its time.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// Names of the interfaces that have a device behind them, sorted.
pub(super) fn physical_interfaces() -> Result<Vec<String>, LabError> {
    let mut names = names(Path::new(INTERFACES))?;
    names.retain(|name| device(name).exists());
    Ok(names)
}

/// The device behind an interface.
pub(super) fn device(interface: &str) -> PathBuf {
    Path::new(INTERFACES).join(interface).join("device")
}

/// The file name of what the link `path` leads to, e.g. a driver's name or a PCI address.
pub(super) fn target_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// The interface of the device in `directory`, once its driver has made it.
pub(super) fn interface_of(directory: &Path) -> Option<String> {
    names(&directory.join("net")).ok()?.into_iter().next()
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>, LabError> {
    let entries = fs::read_dir(directory).map_err(LabError::io(format!("list {}", directory.display())))?;
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Writes a value to an attribute.
pub(super) fn write(path: &Path, value: &str) -> Result<(), LabError> {
    fs::write(path, value).map_err(LabError::io(format!("write {value} to {}", path.display())))
}

/// Looks until `look` finds something; `what` completes "… within 60 s".
pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, LabError> {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if started.elapsed() > LIMIT {
            return Err(LabError::TimedOut {
                what: what.into(),
                limit_ms: LIMIT.as_millis(),
                detail: format!("interfaces with a device: {:?}", physical_interfaces()?),
            });
        }
        thread::sleep(POLL);
    }
}
