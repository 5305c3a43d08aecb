//! Sources of Rust's `core`, which cargo compiles for the eBPF target.
//!
//! rustup's component is used where it is installed. The toolchain itself is never changed: elsewhere the same
//! release is unpacked from Debian's archive into the cache, without installing it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::debian::{Archive, remove_dir};
use crate::paths::Workspace;
use crate::run;
use crate::toolchain::Toolchain;

/// The suite that carries the pinned release.
const SUITE: &str = "trixie-backports";

/// Where the `library` directory is, in the toolchain or in the cache; `None` if it is nowhere.
pub(crate) fn library_path(workspace: &Workspace, toolchain: &Toolchain) -> Result<Option<PathBuf>> {
    let component = toolchain.sysroot().join("lib/rustlib/src/rust/library");
    let unpacked =
        install_root(workspace, toolchain)?.join(format!("usr/src/rustc-{}/library", toolchain.release()?));
    Ok([component, unpacked].into_iter().find(|library| library.join("core/src/lib.rs").is_file()))
}

fn install_root(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    Ok(workspace.cache().join(format!("rust-src-{}", toolchain.release()?)))
}

/// What a person would type.
pub(super) fn install_command(toolchain: &Toolchain) -> String {
    let release = toolchain.release().unwrap_or("<release>");
    format!("rustup component add rust-src --toolchain {release}")
}

/// Unpacks Debian's package of the same release into the cache.
pub(super) fn install(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let release = toolchain.release()?;
    let root = install_root(workspace, toolchain)?;
    let staging = workspace.cache().join(format!("rust-src-{release}.part"));
    let archive = Archive::open(&staging, &[SUITE], false)?;
    let madison = run::output("look rust-src up", archive.apt("apt-cache").args(["madison", "rust-src"]))?;
    let Some(version) = version_of_release(&madison, release) else {
        bail!("Debian's backports hold no rust-src of release {release}; they offer: {madison}");
    };
    let unpacked = archive.unpack(&[&format!("rust-src={version}")], "unpacked")?;
    remove_dir(&root)?;
    fs::rename(unpacked, &root).with_context(|| format!("cannot create {}", root.display()))?;
    archive.remove()
}

/// `apt-cache madison` prints `package | version | source` lines, newest first.
fn version_of_release<'a>(madison: &'a str, release: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| version.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-', '~'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_of_the_same_release_is_chosen() {
        let madison = " rust-src | 1.96.0+dfsg1-1~bpo13+1 | http://x trixie-backports/main\n\
                        rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://x trixie-backports/main\n\
                        rust-src | 1.95.0+dfsg1-1~bpo13+1 | http://x trixie-backports/main";
        assert_eq!(version_of_release(madison, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(version_of_release(madison, "1.9"), None);
        assert_eq!(version_of_release("", "1.95.0"), None);
    }
}
