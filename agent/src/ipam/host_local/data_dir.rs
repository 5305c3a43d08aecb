//! The directory of one network's reservations, opened so that no config can point anywhere else.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use plexus_cni::{CniError, Code};

/// Mode of directories that are made here, as the reference plugin makes them.
const DIR_MODE: Mode = Mode::from_bits_truncate(0o755);

/// A directory that a config names, split at the administrator's directory above it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DataDir {
    base: PathBuf,
    below: Vec<OsString>,
}

impl DataDir {
    /// Checks `dir` by its text alone: absolute, without `..`, and beneath one of `allowed`.
    pub(crate) fn new(dir: &Path, allowed: &[PathBuf]) -> Result<Self, CniError> {
        let refuse = |why: String| {
            Err(CniError::new(Code::NotAuthorized, format!("dataDir {} is refused", dir.display()))
                .because(why))
        };
        if !dir.is_absolute() || dir.components().any(|part| part == Component::ParentDir) {
            return refuse("it must be an absolute path without '..'".into());
        }
        let beneath = allowed.iter().filter_map(|base| Some((base, dir.strip_prefix(base).ok()?)));
        let Some((base, rest)) = beneath.min_by_key(|(_, rest)| rest.components().count()) else {
            let allowed: Vec<String> = allowed.iter().map(|base| base.display().to_string()).collect();
            let allowed = allowed.join(", ");
            return refuse(format!("the agent's configuration allows only directories beneath {allowed}"));
        };
        let below = rest.components().map(|part| part.as_os_str().to_owned()).collect();
        Ok(Self { base: base.clone(), below })
    }

    /// Opens the network's directory, and makes it where `create` says so; `None` where it does not exist.
    ///
    /// Beneath the administrator's directory every step refuses symbolic links.
    pub(crate) fn open(&self, network: &str, create: bool) -> Result<Option<OwnedFd>, CniError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fail = |path: &Path, errno: Errno| {
            let error = CniError::new(
                Code::State,
                format!("directory {} of reservations cannot be opened", path.display()),
            );
            match errno {
                Errno::ENOTDIR | Errno::ELOOP => error.because("it is a symbolic link or no directory"),
                other => error.because(other.to_string()),
            }
        };
        // Nearly always everything is there: it is opened first, and made where it is missing.
        let mut dir = match open(&self.base, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::ENOENT) if !create => return Ok(None),
            Err(Errno::ENOENT) => {
                std::fs::create_dir_all(&self.base).map_err(|error| {
                    CniError::new(Code::State, format!("directory {} cannot be made", self.base.display()))
                        .because(error.to_string())
                })?;
                open(&self.base, flags, Mode::empty()).map_err(|errno| fail(&self.base, errno))?
            }
            Err(errno) => return Err(fail(&self.base, errno)),
        };
        let mut path = self.base.clone();
        for part in self.below.iter().map(OsString::as_os_str).chain([network.as_ref()]) {
            path.push(part);
            let enter = || openat(&dir, part, flags | OFlag::O_NOFOLLOW, Mode::empty());
            dir = match enter() {
                Ok(dir) => dir,
                Err(Errno::ENOENT) if !create => return Ok(None),
                Err(Errno::ENOENT) => match mkdirat(&dir, part, DIR_MODE) {
                    Ok(()) | Err(Errno::EEXIST) => enter().map_err(|errno| fail(&path, errno))?,
                    Err(errno) => return Err(fail(&path, errno)),
                },
                Err(errno) => return Err(fail(&path, errno)),
            };
        }
        Ok(Some(dir))
    }

    /// The network's directory as text, for messages.
    pub(super) fn display(&self, network: &str) -> PathBuf {
        self.base.join(self.below.iter().collect::<PathBuf>()).join(network)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_directories_beneath_the_administrators_are_taken() {
        let allowed = [PathBuf::from("/var/lib/cni/networks"), PathBuf::from("/srv/cni")];
        for fine in ["/var/lib/cni/networks", "/var/lib/cni/networks/", "/srv/cni/a/b", "/srv/./cni/a"] {
            assert!(DataDir::new(Path::new(fine), &allowed).is_ok(), "{fine}");
        }
        for wrong in ["/", "/etc", "/srv/cni2", "srv/cni", "/srv/cni/../../etc", "/srv/cni/a/..", "..", ""] {
            let error = DataDir::new(Path::new(wrong), &allowed).unwrap_err();
            assert_eq!(error.code, Code::NotAuthorized, "{wrong}");
            assert!(error.msg.contains("dataDir") && error.details.len() > 10, "{error}");
        }
    }

    #[test]
    fn a_symbolic_link_does_not_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let (base, outside) = (root.path().join("base"), root.path().join("outside"));
        std::fs::create_dir_all(base.join("real")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        symlink(&outside, base.join("link")).unwrap();
        symlink(&outside, base.join("real/net")).unwrap();
        for (dir, network) in [("link", "n"), ("real", "net")] {
            let dir = DataDir::new(&base.join(dir), std::slice::from_ref(&base)).unwrap();
            for create in [true, false] {
                assert_eq!(dir.open(network, create).unwrap_err().code, Code::State);
            }
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_made_unless_asked() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("base");
        let dir = DataDir::new(&base.join("a/b"), std::slice::from_ref(&base)).unwrap();
        assert!(dir.open("n", false).unwrap().is_none());
        assert!(!base.exists());
        assert!(dir.open("n", true).unwrap().is_some());
        assert!(base.join("a/b/n").is_dir());
        assert!(dir.open("other", false).unwrap().is_none());
    }
}
