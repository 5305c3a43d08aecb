//! A throw-away host for privileged tests: its own network namespace, mounts and BPF file system, on this thread only.
#![allow(dead_code, reason = "every test binary uses another part of the rig")]

pub(crate) mod frames;
pub(crate) mod kernel;
pub(crate) mod pod;
pub(crate) mod world;

use std::{
    io::Write as _,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::Uid,
};
use plexus_agent::datapath::{Datapath, DatapathOptions, load::OBJECT};
use tempfile::TempDir;

/// Ports in tests: few, so that maps are small.
pub(crate) const MAX_PORTS: u32 = 16;

/// A host of its own. The thread must end with the test, as test threads do.
pub(crate) struct Rig {
    dir: TempDir,
}

impl Rig {
    /// Makes the host, or says loudly why this machine cannot and returns nothing.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if let Some(reason) = obstacle() {
            // Not eprintln: the test harness would swallow it.
            writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}").expect("stderr");
            return None;
        }
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("unshare");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let dir = tempfile::tempdir().expect("temporary directory");
        mount(Some("bpf"), dir.path(), Some("bpf"), MsFlags::empty(), None::<&str>).expect("mount bpffs");
        ip("link set lo up");
        // Quiet: no router solicitations or duplicate detection in the host's namespace.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").expect("sysctl");
        Some(Self { dir })
    }

    pub(crate) fn bpffs(&self) -> PathBuf {
        self.dir.path().join("plexus")
    }

    pub(crate) fn options(&self) -> DatapathOptions {
        DatapathOptions { bpffs: self.bpffs(), max_ports: MAX_PORTS, ..DatapathOptions::default() }
    }

    pub(crate) fn open(&self) -> Datapath {
        Datapath::open(&self.options()).expect("open the data plane")
    }

    /// Every pin below the directory, as relative paths.
    pub(crate) fn pins(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.bpffs(), &mut found);
        found
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        umount2(self.dir.path(), MntFlags::MNT_DETACH).expect("unmount");
    }
}

fn obstacle() -> Option<&'static str> {
    if OBJECT.is_empty() {
        Some("the build carries no eBPF object; run `cargo xtask build`")
    } else if !Uid::effective().is_root() {
        Some("it needs root")
    } else {
        None
    }
}

fn walk(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), found);
        } else {
            found.push(entry.path().display().to_string());
        }
    }
}

/// Runs `ip` in the thread's network namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip (iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `tc` in the thread's network namespace and returns what it printed.
pub(crate) fn tc(arguments: &[&str]) -> String {
    let output = Command::new("tc").args(arguments).output().expect("tc (iproute2)");
    assert!(output.status.success(), "tc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The ifindex of a device in the thread's network namespace.
pub(crate) fn ifindex(device: &str) -> u32 {
    nix::net::if_::if_nametoindex(device).expect("device")
}

/// A path that `ip … netns` takes for a namespace.
pub(crate) fn netns_path(netns: &impl std::os::fd::AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd())
}
