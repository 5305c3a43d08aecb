//! What the kernel starts from: busybox, the modules that the root file system needs, and a script that mounts it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Guest;
use super::command_line::ROOT_TAG;
use super::cpio::Archive;
use crate::setup::VmTools;

/// Modules of the root file system, in any order; a kernel may have some built in.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
const INIT: &str = include_str!("init.sh");

/// The archive; `script` is what the guest goes on with.
pub(super) fn make(guest: &Guest<'_>, script: &Path) -> Result<Vec<u8>> {
    let index = guest.kernel.modules.join("modules.dep");
    let index = fs::read_to_string(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "modules", "machine", "layer", "newroot"] {
        archive.directory(directory)?;
    }
    let busybox = guest.tools.path("busybox").context("busybox is missing")?;
    let busybox = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    archive.program("bin/busybox", &busybox)?;
    let mut loading = String::new();
    for (number, module) in load_order(&index, &MODULES).into_iter().enumerate() {
        let path = guest.kernel.modules.join(module);
        archive.program(&format!("modules/{number}.ko"), &plain_module(guest.tools, &path)?)?;
        writeln!(loading, "$b insmod /modules/{number}.ko")?;
    }
    let init = INIT
        .replace("@LOAD_MODULES@", &loading)
        .replace("@ROOT_TAG@", ROOT_TAG)
        .replace("@SCRIPT@", &super::script::quoted(&script.display().to_string()));
    archive.program("init", init.as_bytes())?;
    archive.finish()
}

/// Paths of `wanted` and of what they need, each behind what it needs. `modules.dep` has lines `MODULE: NEEDED …`, and
/// lists what a module needs from near to far.
fn load_order<'a>(index: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let lines = index.lines().filter_map(|line| line.split_once(':'));
    let known: BTreeMap<_, _> = lines.map(|(path, needed)| (name(path), (path, needed))).collect();
    let mut order: Vec<&str> = Vec::new();
    for module in wanted {
        let Some((path, needed)) = known.get(*module) else { continue };
        for path in needed.split_whitespace().rev().chain([*path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

/// `kernel/net/9p/9pnet_virtio.ko.xz` is `9pnet_virtio`.
fn name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

/// busybox loads what is not compressed.
fn plain_module(tools: &VmTools, path: &Path) -> Result<Vec<u8>> {
    let compressed_by = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = tools.program(compressed_by).arg("-dc").arg(path).output();
    let output = output.with_context(|| format!("cannot start {compressed_by}"))?;
    if !output.status.success() {
        anyhow::bail!("{compressed_by} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_comes_behind_what_it_needs_and_once() {
        let index = "\
kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet.ko.xz: kernel/fs/netfs/netfs.ko.xz
kernel/fs/overlayfs/overlay.ko.xz:";
        let order: Vec<_> = load_order(index, &MODULES).into_iter().map(name).collect();
        assert_eq!(order, ["netfs", "9pnet", "9pnet_virtio", "9p", "overlay"]);
    }
}
