//! What the reference plugin wrote down before it changed an interface, for those that it left to us.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use plexus_cni::CniError;
use plexus_cni::name::check_container_id;

use super::backup::LinkBackup;
use super::config::data_dir;
use crate::ipam::host_local::data_dir::DataDir;
use crate::plugin::PluginCall;

/// Longest of these files, in bytes; those of the reference have a hundred.
const BYTES_MAX: u64 = 4 << 10;

/// A file of the reference.
pub(super) struct Reference {
    dir: OwnedFd,
    name: String,
    pub(super) link: LinkBackup,
}

impl Reference {
    /// The call's file, if there is one beneath the administrator's directories that can be understood.
    pub(super) fn find(call: &PluginCall<'_>) -> Result<Option<Self>, CniError> {
        check_container_id(call.container_id)?;
        let dir = data_dir(call.config)?;
        let (Some(parent), Some(last)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(None);
        };
        let opened = DataDir::new(parent, &call.agent.settings.ipam_data_dirs)?.open(last, false)?;
        let Some(dir) = opened else { return Ok(None) };
        let name = format!("{}_{}.json", call.container_id, call.ifname);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let Ok(file) = openat(&dir, &*name, flags, Mode::empty()) else { return Ok(None) };
        let mut text = String::new();
        let read = File::from(file).take(BYTES_MAX).read_to_string(&mut text);
        let link = read.ok().and_then(|_| serde_json::from_str(&text).ok());
        Ok(link.map(|link| Self { dir, name, link }))
    }

    /// Removes the file, once nothing in it is needed.
    pub(super) fn remove(&self) {
        match unlinkat(&self.dir, &*self.name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => tracing::warn!(file = self.name, %errno, "a file of the reference plugin stays"),
        }
    }
}
