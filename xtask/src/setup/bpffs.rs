//! The bpf file system, where plexusd pins maps and links.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run;

const MOUNT_POINT: &str = "/sys/fs/bpf";

/// What a person would type.
pub(super) const MOUNT_COMMAND: &str = "sudo mount -t bpf bpf /sys/fs/bpf";

/// Whether a bpf file system is mounted where everybody expects it.
pub(super) fn is_mounted() -> Result<bool> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").context("cannot read the mount table /proc/self/mounts")?;
    Ok(mounts_bpffs(&mounts))
}

fn mounts_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(MOUNT_POINT) && fields.next() == Some("bpf")
    })
}

/// Mounts it; needs root.
pub(super) fn mount() -> Result<()> {
    run::output("mount the bpf file system", Command::new("mount").args(["-t", "bpf", "bpf", MOUNT_POINT]))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bpf_file_system_on_the_usual_path_counts() {
        assert!(mounts_bpffs("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid 0 0"));
        assert!(!mounts_bpffs("bpf /run/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0"));
    }
}
