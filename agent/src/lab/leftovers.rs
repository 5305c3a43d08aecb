//! What a host has now and had not before: interfaces, leases, pins, files, processes, packet filter tables.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::command::run;
use super::{Host, LabError};

/// Folders are walked this deep.
const DEPTH_MAX: usize = 8;
/// host-local keeps its lock and its round robin marks for ever.
const NO_LEASES: [&str; 2] = ["lock", "last_reserved_ip."];

/// A kind of thing that can be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A network interface of the host.
    Interface,
    /// An address that an IPAM directory holds.
    Lease,
    /// A pinned map, program or link.
    Pin,
    /// A file of the state directory.
    File,
    /// A process in the host's network namespace.
    Process,
    /// A table of nftables.
    FilterTable,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// Its kind.
    pub kind: Kind,
    /// Its name, path or command.
    pub name: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Interface => "interface",
            Kind::Lease => "lease",
            Kind::Pin => "pin",
            Kind::File => "file",
            Kind::Process => "process",
            Kind::FilterTable => "nftables table",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// Everything that the host has at one moment.
#[derive(Clone, Debug)]
pub struct Inventory(BTreeSet<Thing>);

impl Inventory {
    /// Takes stock.
    pub fn take(host: &Host) -> Result<Self, LabError> {
        let mut things = BTreeSet::new();
        let mut note =
            |kind, names: Vec<String>| things.extend(names.into_iter().map(|name| Thing { kind, name }));
        note(Kind::Interface, host.netns().interfaces()?);
        let leases = files(&host.leases_dir(), 0)?;
        note(Kind::Lease, leases.into_iter().filter(|path| is_lease(path)).collect());
        note(Kind::Pin, files(&host.bpffs(), 0)?);
        note(Kind::File, files(&host.state_dir(), 0)?);
        note(Kind::Process, processes(host.netns().inode()?));
        note(Kind::FilterTable, filter_tables()?);
        Ok(Self(things))
    }

    /// What is there now and was not `before`.
    pub fn since(&self, before: &Self) -> Vec<Thing> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// The things of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Thing> {
        self.0.iter().filter(move |thing| thing.kind == kind)
    }
}

fn is_lease(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !NO_LEASES.iter().any(|prefix| name.starts_with(prefix))
}

/// All files (no folders) beneath `dir`.
fn files(dir: &Path, depth: usize) -> Result<Vec<String>, LabError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(dir).map_err(LabError::io(format!("list {}", dir.display())))?;
    for entry in entries {
        let entry = entry.map_err(LabError::io(format!("list {}", dir.display())))?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth < DEPTH_MAX {
            found.extend(files(&entry.path(), depth + 1)?);
        } else if !is_dir {
            found.push(entry.path().display().to_string());
        }
    }
    Ok(found)
}

/// Processes, other than this one, whose network namespace has this inode. One that ends meanwhile is not there.
fn processes(netns_inode: u64) -> Vec<String> {
    let wanted = format!("net:[{netns_inode}]");
    let inside = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| link.as_os_str() == wanted.as_str())
    };
    let named = |pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} {}", name.trim())
    };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).filter(inside).map(named).collect()
}

/// `nft` is optional on a host; without it nobody made a table by it, and ours need it to be looked at.
fn filter_tables() -> Result<Vec<String>, LabError> {
    match run(Command::new("nft").args(["list", "tables"])) {
        Ok(finished) => Ok(finished.stdout.lines().map(str::to_owned).collect()),
        Err(LabError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
