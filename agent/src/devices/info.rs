//! Device information files: copied from the device plugin's for each attachment, read after its ADD, removed with it.
//!
//! Source: Network Plumbing Working Group, device-info-spec 1.1.0, section 4. All names are file names beneath the one
//! directory, no symbolic link is followed there, and what cannot be read or written is said in the log: as with Multus,
//! a pod does not fail for want of a description.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use plexus_cni::device_info::{DeviceInfo, device_plugin_file};
use plexus_cni::devices::Device;
use plexus_cni::limits::DEVICE_INFO_BYTES_MAX;

/// Files of device plugins.
const DEVICE_PLUGINS: &str = "dp";
/// Files of attachments.
const ATTACHMENTS: &str = "cni";
/// Plugins may read it; only root writes there.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// The directory `devinfo`.
#[derive(Clone, Debug)]
pub struct DeviceInfoDir(PathBuf);

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("device information {}: {why}", path.display())]
pub struct DeviceInfoError {
    path: PathBuf,
    why: String,
}

impl DeviceInfoDir {
    /// `dir` holds `dp` and `cni`.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The full path of an attachment's file, as its plugins get it.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(ATTACHMENTS).join(file)
    }

    /// Prepares an attachment's file: a copy of what the device plugin says of `device`, if it says anything. What an
    /// earlier attachment left under that name goes away.
    pub fn prepare(&self, file: &str, device: Option<&Device>) -> Result<(), DeviceInfoError> {
        self.remove(file)?;
        let Some(source) = device.and_then(|device| device_plugin_file(&device.resource, &device.id)) else {
            return Ok(());
        };
        let Some(text) = self.read(DEVICE_PLUGINS, &source)? else { return Ok(()) };
        DeviceInfo::parse(&text).map_err(|why| self.fails(DEVICE_PLUGINS, &source, why))?;
        self.write(file, &text).map_err(|why| self.fails(ATTACHMENTS, file, why))
    }

    /// What an attachment's file says after its plugins ran; `None` where there is none.
    pub fn load(&self, file: &str) -> Result<Option<DeviceInfo>, DeviceInfoError> {
        let Some(text) = self.read(ATTACHMENTS, file)? else { return Ok(None) };
        DeviceInfo::parse(&text).map(Some).map_err(|why| self.fails(ATTACHMENTS, file, why))
    }

    /// Removes an attachment's file; one that is gone is a success.
    pub fn remove(&self, file: &str) -> Result<(), DeviceInfoError> {
        let removed =
            self.open(ATTACHMENTS, file).and_then(|dir| unlinkat(dir, file, UnlinkatFlags::NoRemoveDir));
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fails(ATTACHMENTS, file, errno.to_string())),
        }
    }

    /// The directory of `file`, which must be a plain name: one can come from the cache of another program.
    fn open(&self, below: &str, file: &str) -> Result<OwnedFd, Errno> {
        if file.is_empty() || file.contains('/') || matches!(file, "." | "..") {
            return Err(Errno::EINVAL);
        }
        // The directory itself is the operator's word, and `/var/run` is a link everywhere.
        open(&self.0.join(below), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn read(&self, below: &str, file: &str) -> Result<Option<Vec<u8>>, DeviceInfoError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let opened = self.open(below, file).and_then(|dir| openat(dir, file, flags, Mode::empty()));
        let fails = |why: String| self.fails(below, file, why);
        let opened = match opened {
            Err(Errno::ENOENT) => return Ok(None),
            opened => File::from(opened.map_err(|errno| fails(errno.to_string()))?),
        };
        if !opened.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(fails("it is not a regular file".into()));
        }
        let mut text = Vec::new();
        let limited = opened.take(DEVICE_INFO_BYTES_MAX as u64 + 1).read_to_end(&mut text);
        limited.map_err(|error| fails(error.to_string()))?;
        Ok(Some(text))
    }

    /// No plugin runs yet, and a process that dies meanwhile leaves a record: DEL removes the half-written file.
    fn write(&self, file: &str, text: &[u8]) -> Result<(), String> {
        fs::create_dir_all(self.0.join(ATTACHMENTS)).map_err(|error| error.to_string())?;
        let dir = self.open(ATTACHMENTS, file).map_err(|errno| errno.to_string())?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let written = openat(dir, file, flags, FILE_MODE).map_err(|errno| errno.to_string())?;
        File::from(written).write_all(text).map_err(|error| error.to_string())
    }

    fn fails(&self, below: &str, file: &str, why: String) -> DeviceInfoError {
        DeviceInfoError { path: self.0.join(below).join(file), why }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    const INFO: &str = r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:03:02.0"}}"#;

    fn device() -> Device {
        Device { resource: "v.com/vf".into(), id: "0000:03:02.0".into() }
    }

    #[test]
    fn the_device_plugins_word_is_copied_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let info = DeviceInfoDir::new(dir.path());
        info.prepare("a", Some(&device())).unwrap();
        assert!(info.load("a").unwrap().is_none(), "a device plugin need not say anything");
        fs::create_dir(dir.path().join("dp")).unwrap();
        fs::write(dir.path().join("dp/v.com-vf-0000:03:02.0-device.json"), INFO).unwrap();
        info.prepare("a", Some(&device())).unwrap();
        assert_eq!(fs::read_to_string(info.path("a")).unwrap(), INFO);
        assert_eq!(json!(info.load("a").unwrap()).to_string(), INFO);
        info.prepare("a", None).unwrap();
        assert!(!info.path("a").exists(), "what an earlier attachment left is gone");
        info.remove("a").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("cni")).unwrap().count(), 0);
    }

    #[test]
    fn links_directories_and_rubbish_are_refused_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let info = DeviceInfoDir::new(dir.path());
        fs::create_dir_all(info.path("folder")).unwrap();
        fs::write(dir.path().join("secret"), INFO).unwrap();
        symlink("../secret", info.path("link")).unwrap();
        fs::write(info.path("rubbish"), "{").unwrap();
        fs::write(info.path("long"), vec![b' '; DEVICE_INFO_BYTES_MAX + 1]).unwrap();
        for file in ["folder", "link", "rubbish", "long", "../secret", "..", ""] {
            let error = info.load(file).unwrap_err().to_string();
            assert!(error.contains(&*info.path(file).display().to_string()), "{error}");
        }
        assert!(info.remove("../secret").is_err());
        info.remove("link").unwrap();
        assert!(dir.path().join("secret").exists());
    }
}
