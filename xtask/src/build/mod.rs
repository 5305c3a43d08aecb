//! `cargo xtask build`: the eBPF object, the static shim and the host binaries.

pub(crate) mod bpf;
pub(crate) mod host;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::args::BuildOptions;
use crate::paths::Workspace;
use crate::setup;
use crate::toolchain::Toolchain;

/// How the host binaries are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised, as shipped.
    Release,
    /// Quick to compile.
    Dev,
}

/// `cargo xtask build`.
pub(crate) fn verb(workspace: &Workspace, options: &BuildOptions) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_BUILD)?;
    all(workspace, if options.is_dev() { Profile::Dev } else { Profile::Release })?;
    println!("build: {} and {}", workspace.bpf_object().display(), workspace.bin_dir().display());
    Ok(ExitCode::SUCCESS)
}

/// Builds everything that demo and benchmarks run. The object comes first: plexusd embeds it.
pub(crate) fn all(workspace: &Workspace, profile: Profile) -> Result<()> {
    let toolchain = Toolchain::detect()?;
    bpf::objects(workspace, &toolchain)?;
    host::shim(workspace, &toolchain, &workspace.bin_dir())?;
    host::binaries(workspace, profile)
}

/// Copies `from` to `to` unless they are equal: an unchanged file keeps its time stamp, so nothing is rebuilt for it.
pub(crate) fn copy_if_changed(from: &Path, to: &Path) -> Result<bool> {
    let built =
        fs::read(from).with_context(|| format!("cannot read what was built at {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == built) {
        return Ok(false);
    }
    let directory = to.parent().context("a file has a directory")?;
    // Written beside and renamed: the old binary may be running.
    let staged = to.with_extension("part");
    fs::create_dir_all(directory)
        .and_then(|()| fs::copy(from, &staged))
        .and_then(|_| fs::rename(&staged, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(true)
}

/// Every file below `directory`, sorted.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}
