//! The directories of pins: one per generation, which is an ABI and a size.
//!
//! ```text
//! <bpffs>/v<generation>/maps/<MAP>            reused by the next agent of the same generation
//! <bpffs>/v<generation>/links/<LinkName>      what keeps an uplink's program attached while no agent runs
//! <bpffs>/programs                            what the gates on the ports' devices lead to, in every generation
//! <bpffs>/netkit/<ifindex>                    what keeps the gate of a port in its netkit pair, in every generation
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use plexus_abi::ABI_HASH;

use super::{
    error::{DatapathError, Result},
    hook::LinkName,
    spec::DatapathOptions,
    sys,
};

/// The pins of this generation, and of older ones until the migration is finished.
pub(super) struct Pins {
    root: PathBuf,
    current: PathBuf,
    old: Vec<PathBuf>,
}

impl Pins {
    /// Makes the directories and finds older generations.
    pub(super) fn open(options: &DatapathOptions) -> Result<Self> {
        let root = options.bpffs.clone();
        make_dir(&root)?;
        let is_bpffs = statfs(&root).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC);
        if !is_bpffs {
            return Err(DatapathError::NoBpffs { path: root });
        }
        // Another size needs other maps, just as another ABI does.
        let generation = ABI_HASH ^ u64::from(options.max_ports).rotate_left(32);
        let current = root.join(format!("v{generation:016x}"));
        for dir in [&current, &current.join("maps"), &current.join("links"), &root.join("netkit")] {
            make_dir(dir)?;
        }
        let old = list(&root)?.into_iter().filter(|dir| *dir != current && is_generation(dir)).collect();
        Ok(Self { root, current, old })
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.current.join("maps").join(name)
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(super) fn netkit(&self, ifindex: u32) -> PathBuf {
        self.root.join("netkit").join(ifindex.to_string())
    }

    /// Removes what keeps a port's gate in its netkit pair; a missing pin is fine. While the pair lives, the kernel detaches
    /// the gate some time later.
    pub(super) fn remove_netkit(&self, ifindex: u32) -> Result<()> {
        let path = self.netkit(ifindex);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DatapathError::Pin { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// The devices whose netkit pairs have a pinned gate, or had one before they went.
    pub(super) fn netkits(&self) -> Result<Vec<u32>> {
        let names = list(&self.root.join("netkit"))?;
        Ok(names.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect())
    }

    /// Whether there is an older generation to migrate from.
    pub(super) const fn has_old(&self) -> bool {
        !self.old.is_empty()
    }

    pub(super) fn link(&self, name: LinkName) -> PathBuf {
        self.current.join("links").join(name.to_string())
    }

    /// The same link in older generations, as far as it is there.
    pub(super) fn old_links(&self, name: LinkName) -> Vec<PathBuf> {
        let name = name.to_string();
        self.old.iter().map(|dir| dir.join("links").join(&name)).filter(|path| path.exists()).collect()
    }

    /// A map of the older generations, as far as it is there.
    pub(super) fn old_maps(&self, name: &str) -> Vec<PathBuf> {
        self.old.iter().map(|dir| dir.join("maps").join(name)).filter(|path| path.exists()).collect()
    }

    /// Every link pinned in this generation.
    pub(super) fn links(&self) -> Result<Vec<LinkName>> {
        let names = list(&self.current.join("links"))?;
        Ok(names.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect())
    }

    /// Removes a link's pins of every generation: what it kept attached is detached. Missing pins are fine.
    pub(super) fn remove_link(&self, name: LinkName) -> Result<()> {
        for dir in self.old.iter().chain([&self.current]) {
            detach(dir.join("links").join(name.to_string()))?;
        }
        Ok(())
    }

    /// Removes the older generations, links first.
    pub(super) fn remove_old(&mut self) -> Result<()> {
        while let Some(dir) = self.old.last() {
            remove_generation(dir)?;
            self.old.pop();
        }
        Ok(())
    }

    /// Removes everything, and the directory itself unless it is the mount point.
    pub(super) fn remove_all(&mut self) -> Result<()> {
        self.remove_old()?;
        remove_generation(&self.current)?;
        self.netkits()?.into_iter().try_for_each(|ifindex| self.remove_netkit(ifindex))?;
        let netkit = self.root.join("netkit");
        fs::remove_dir(&netkit).map_err(|source| DatapathError::Pin {
            action: "remove",
            path: netkit,
            source,
        })?;
        let programs = self.programs();
        match fs::remove_file(&programs) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(DatapathError::Pin { action: "remove", path: programs, source });
            }
            _ => {}
        }
        match fs::remove_dir(&self.root) {
            Err(source)
                if !matches!(source.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound) =>
            {
                Err(DatapathError::Pin { action: "remove", path: self.root.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

fn is_generation(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix('v')).is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok())
}

fn make_dir(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(DatapathError::Pin { action: "create", path: path.into(), source })
        }
        _ => Ok(()),
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let read =
        || fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    read().map_err(|source| DatapathError::Pin { action: "list", path: dir.into(), source })
}

/// Detaches a link and removes its pin; a missing one is fine.
fn detach(path: PathBuf) -> Result<()> {
    match sys::detach_pinned_link(&path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DatapathError::Pin { action: "detach", path, source }),
        Ok(()) => {}
    }
    fs::remove_file(&path).map_err(|source| DatapathError::Pin { action: "remove", path, source })
}

fn remove_generation(dir: &Path) -> Result<()> {
    if dir.join("links").exists() {
        for link in list(&dir.join("links"))? {
            detach(link)?;
        }
    }
    for part in ["links", "maps"] {
        match fs::remove_dir_all(dir.join(part)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(DatapathError::Pin { action: "remove", path: dir.join(part), source });
            }
            _ => {}
        }
    }
    match fs::remove_dir(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::Pin { action: "remove", path: dir.into(), source })
        }
        _ => Ok(()),
    }
}
