//! A device named by its path beneath `/sys/devices`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Longest path that is accepted, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// A path such as `/sys/devices/pci0000:00/0000:00:1f.6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPath {
    /// Below `/sys`.
    below: PathBuf,
}

impl KernelPath {
    pub(super) fn below(&self) -> &Path {
        &self.below
    }
}

impl fmt::Display for KernelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/sys/{}", self.below.display())
    }
}

impl FromStr for KernelPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let below = Path::new(text).strip_prefix("/sys").ok();
        let is_plain =
            |path: &&Path| path.components().all(|component| matches!(component, Component::Normal(_)));
        let below = below.filter(|path| path.starts_with("devices") && text.len() <= PATH_BYTES_MAX);
        match below.filter(is_plain) {
            Some(below) => Ok(Self { below: below.to_owned() }),
            None => Err("it must be a path beneath /sys/devices without \"..\"".into()),
        }
    }
}
