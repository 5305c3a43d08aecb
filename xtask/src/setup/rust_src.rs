//! Sources of Rust's `core`, which cargo compiles for the eBPF target.
//!
//! rustup's component is used where it is installed. The toolchain itself is never changed: elsewhere the same
//! release is unpacked from Debian's archive into the cache, without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::packages;
use crate::paths::Workspace;
use crate::run;
use crate::toolchain::Toolchain;

/// The suite that carries the pinned release.
const ARCHIVE: &str = "http://deb.debian.org/debian trixie-backports main";

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

/// Downloads Debian's package of the same release with private package lists and unpacks it; needs no root
/// where Debian's keys are installed.
pub(super) fn install(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    if !packages::missing(packages::DEBIAN_KEYS).is_empty() {
        packages::install(packages::DEBIAN_KEYS)?;
    }
    let source = format!("deb [signed-by={}] {ARCHIVE}\n", packages::DEBIAN_KEYRING);
    let release = toolchain.release()?;
    let root = install_root(workspace, toolchain)?;
    let staging = workspace.cache().join(format!("rust-src-{release}.part"));
    remove_dir(&staging)?;
    fs::create_dir_all(staging.join("lists/partial"))
        .and_then(|()| fs::create_dir_all(staging.join("cache/archives/partial")))
        .and_then(|()| fs::write(staging.join("sources.list"), source))
        .with_context(|| format!("cannot prepare {}", staging.display()))?;

    run::with_progress("read the package list of Debian backports", apt("apt-get", &staging).arg("update"))?;
    let madison = run::output("look rust-src up", apt("apt-cache", &staging).args(["madison", "rust-src"]))?;
    let Some(version) = version_of_release(&madison, release) else {
        bail!("Debian's backports hold no rust-src of release {release}; they offer: {madison}");
    };
    let package = format!("rust-src={version}");
    run::with_progress(
        &format!("download {package}"),
        apt("apt-get", &staging).args(["download", &package]),
    )?;
    unpack(&staging)?;

    remove_dir(&root)?;
    fs::rename(staging.join("unpacked"), &root)
        .with_context(|| format!("cannot create {}", root.display()))?;
    remove_dir(&staging)
}

/// apt with its own sources, lists and download directory, so that the machine's configuration is not touched.
fn apt(program: &str, staging: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(staging).env("DEBIAN_FRONTEND", "noninteractive");
    for (option, value) in [
        ("Dir::Etc::sourcelist", staging.join("sources.list")),
        ("Dir::Etc::sourceparts", "/dev/null".into()),
        ("Dir::State::Lists", staging.join("lists")),
        ("Dir::Cache", staging.join("cache")),
    ] {
        command.arg(format!("-o{option}={}", value.display()));
    }
    command.args(["-oAcquire::Retries=3", "-oAcquire::Languages=none", "-oAPT::Sandbox::User=root"]);
    command
}

/// `apt-cache madison` prints `package | version | source` lines, newest first.
fn version_of_release<'a>(madison: &'a str, release: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| version.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-', '~'])))
}

fn unpack(staging: &Path) -> Result<()> {
    let package = fs::read_dir(staging)
        .context("cannot list the download directory")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    let mut command = Command::new("dpkg");
    command.arg("-x").arg(&package).arg(staging.join("unpacked"));
    run::with_progress("unpack rust-src", &mut command)
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
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
