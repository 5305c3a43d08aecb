//! `plexusd uninstall`: the plugin directory as it was.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use plexus_cni::name::SHIM_NAME;

use super::report::{Deed, Done};
use super::shim::{Holder, aside, holder, lock, require_ours};
use super::{atomic, conflist};

/// Most names looked at.
const FILES_MAX: usize = 10_000;

/// What is to be taken away.
#[derive(Clone, Debug)]
pub struct UninstallOptions {
    /// The runtime's plugin directory.
    pub bin_dir: PathBuf,
    /// The runtime's config that names us, if that is to go, too.
    pub conflist: Option<PathBuf>,
}

/// Removes the runtime's config first, so that it never names a plugin that is gone; then every link, with the program
/// back that had its name; the shim last.
pub fn uninstall(options: &UninstallOptions) -> anyhow::Result<Vec<Done>> {
    let mut done = Vec::new();
    if let Some(path) = &options.conflist
        && conflist::is_ours(path)
    {
        atomic::remove(path).with_context(|| format!("cannot remove {}", path.display()))?;
        done.push(Done::new(Deed::Removed, path.clone(), "the runtime reads the next config"));
    }
    let _alone = lock(&options.bin_dir)?;
    require_ours(&options.bin_dir)?;
    let what = || format!("cannot change {}", options.bin_dir.display());
    let entries = fs::read_dir(&options.bin_dir).with_context(what)?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX).collect();
    paths.sort();
    for path in paths {
        if !matches!(holder(&path), Ok(Holder::Us)) {
            continue;
        }
        let kept = aside(&path);
        if kept.symlink_metadata().is_ok() {
            atomic::publish(&kept, &path).with_context(what)?;
            done.push(Done::new(Deed::Restored, path, "the plugin that had this name before"));
        } else {
            atomic::remove(&path).with_context(what)?;
            done.push(Done::new(Deed::Removed, path, ""));
        }
    }
    let shim = options.bin_dir.join(SHIM_NAME);
    atomic::remove(&shim).with_context(what)?;
    done.push(Done::new(Deed::Removed, shim, ""));
    Ok(done)
}
