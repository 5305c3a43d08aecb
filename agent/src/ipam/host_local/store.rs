//! One network's directory of reservations: a file for each address, named by it.
//!
//! Layout, contents and lock are the reference plugin's, so both can work in one directory at the same time. A
//! reservation is not synced to the disk: it stands for a running container, and none survives a power failure.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, read, unlinkat};
use plexus_cni::{CniError, Code};

use super::data_dir::DataDir;
use super::lock::Lock;
use super::owner::{self, Owner};
use super::range::parse_address;
use super::stamp::{Origin, Stamp};
use crate::fault;

/// Mode of reservations, as the reference plugin's.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o600);
/// Most entries read from a directory; a /12 full of reservations stays below.
const ENTRIES_MAX: usize = 1 << 20;
/// Longest content read from a file, in bytes; container id and interface name together stay below.
const CONTENT_BYTES_MAX: usize = 1024;

/// An open directory of reservations.
#[derive(Debug)]
pub(super) struct Store {
    dir: OwnedFd,
    path: PathBuf,
    /// Held by everything that changes the directory.
    lock: Option<Lock>,
}

/// A file named by an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) address: IpAddr,
    /// The file's name, which may write the address in another way.
    pub(super) name: String,
}

impl Store {
    /// Opens the directory for changes, made where it is missing, and locks it.
    pub(super) fn create(place: &DataDir, network: &str, lock_wait: Duration) -> Result<Self, CniError> {
        match Self::open(place, network, true)? {
            Some(store) => store.locked(lock_wait),
            None => Err(CniError::new(
                Code::State,
                format!("directory {} was removed while it was made", place.display(network).display()),
            )),
        }
    }

    /// Opens the directory for changes and locks it; `None` where it does not exist.
    pub(super) fn existing(
        place: &DataDir,
        network: &str,
        lock_wait: Duration,
    ) -> Result<Option<Self>, CniError> {
        Self::open(place, network, false)?.map(|store| store.locked(lock_wait)).transpose()
    }

    /// Opens the directory to look only, without the lock; `None` where it does not exist.
    pub(super) fn look(place: &DataDir, network: &str) -> Result<Option<Self>, CniError> {
        Self::open(place, network, false)
    }

    fn open(place: &DataDir, network: &str, create: bool) -> Result<Option<Self>, CniError> {
        let dir = place.open(network, create)?;
        Ok(dir.map(|dir| Self { dir, path: place.display(network), lock: None }))
    }

    fn locked(mut self, lock_wait: Duration) -> Result<Self, CniError> {
        self.lock = Some(Lock::take(&self.dir, &self.path, lock_wait)?);
        Ok(self)
    }

    /// Every file that is named by an address, in the directory's order.
    pub(super) fn reservations(&self) -> Result<Vec<Reservation>, CniError> {
        let fail = |errno: Errno| {
            CniError::new(Code::State, format!("directory {} cannot be read", self.path.display()))
                .because(errno.to_string())
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&self.dir, ".", flags, Mode::empty()).map_err(fail)?;
        let mut found = Vec::new();
        for (at, entry) in dir.iter().enumerate() {
            let entry = entry.map_err(fail)?;
            if at >= ENTRIES_MAX {
                return Err(fail(Errno::E2BIG));
            }
            let regular = matches!(entry.file_type(), None | Some(Type::File));
            if let Some(name) = entry.file_name().to_str().ok().filter(|_| regular)
                && let Some(address) = parse_address(name)
            {
                found.push(Reservation { address, name: name.to_owned() });
            }
        }
        Ok(found)
    }

    /// What a file says; empty where it is gone.
    pub(super) fn content(&self, name: &str) -> Result<String, CniError> {
        let mut buffer = [0; CONTENT_BYTES_MAX];
        let count = match self.open_file(name)? {
            // One read: a regular file gives less than was asked for only at its end.
            Some(file) => read(&file, &mut buffer).map_err(|errno| self.fail("read", name, &errno))?,
            None => 0,
        };
        Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    /// Who made a file, and when.
    pub(super) fn origin(&self, name: &str) -> Result<Origin, CniError> {
        Ok(self.open_file(name)?.map_or(Origin::Untold, Origin::of))
    }

    /// Names a reservation's holder, for a message.
    pub(super) fn holder(&self, name: &str) -> Result<String, CniError> {
        let holder = owner::describe(&self.content(name)?).to_string();
        Ok(match self.origin(name)? {
            Origin::Ours(stamp) if !stamp.pod.is_empty() => format!("pod {} ({holder})", stamp.pod),
            _ => holder,
        })
    }

    fn open_file(&self, name: &str) -> Result<Option<OwnedFd>, CniError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        match openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.fail("read", name, &errno)),
        }
    }

    /// Reserves `address`; false where a file of its name is there already.
    pub(super) fn reserve(&self, address: IpAddr, owner: Owner, stamp: &Stamp) -> Result<bool, CniError> {
        let name = address.to_string();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = match openat(&self.dir, &*name, flags, FILE_MODE) {
            Ok(file) => file,
            Err(Errno::EEXIST) => return Ok(false),
            Err(errno) => return Err(self.fail("created", &name, &errno)),
        };
        fault::point();
        // First, so that no content comes to the disk without it.
        stamp.write(&file);
        fault::point();
        File::from(file).write_all(owner.content().as_bytes()).map_err(|error| {
            let failed = self.fail("written", &name, &error);
            match self.release(&name) {
                Ok(()) => failed,
                Err(second) => failed.because(format!("{error}; then {second}")),
            }
        })?;
        fault::point();
        Ok(true)
    }

    /// Removes a reservation; one that is gone already is fine.
    pub(super) fn release(&self, name: &str) -> Result<(), CniError> {
        match unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fail("removed", name, &errno)),
        }
    }

    /// The address that set `index` gave last; what cannot be read costs the round robin only.
    pub(super) fn last_reserved(&self, index: usize) -> Option<IpAddr> {
        let content = self.content(&last_reserved_file(index)).ok()?;
        parse_address(content.trim())
    }

    /// Remembers the address that set `index` gave last.
    pub(super) fn set_last_reserved(&self, index: usize, address: IpAddr) -> Result<(), CniError> {
        let name = last_reserved_file(index);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = openat(&self.dir, &*name, flags, FILE_MODE)
            .map_err(|errno| self.fail("opened for writing", &name, &errno))?;
        // Not O_TRUNC: ext4 writes a file that was truncated to nothing when it is closed, and the ADD would wait.
        let (mut file, text) = (File::from(file), address.to_string());
        file.write_all(text.as_bytes())
            .and_then(|()| file.set_len(text.len() as u64))
            .map_err(|error| self.fail("written", &name, &error))?;
        fault::point();
        Ok(())
    }

    fn fail(&self, what: &str, name: &str, why: &dyn std::error::Error) -> CniError {
        CniError::new(Code::State, format!("{} cannot be {what}", self.path.join(name).display()))
            .because(why.to_string())
    }
}

fn last_reserved_file(index: usize) -> String {
    format!("last_reserved_ip.{index}")
}
