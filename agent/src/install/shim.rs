//! `plexusd install`: the shim in the runtime's plugin directory.
//!
//! `plexus` is a file, every further name a relative symbolic link to it: an upgrade is one rename, and a look at the
//! directory tells what is ours. At every moment each name leads to a whole program, the old one or the new one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use plexus_cni::meta::META_TYPES;
use plexus_cni::name::{KEPT_ASIDE, SHIM_NAME, check_plugin_type};

use super::report::{Deed, Done};
use super::{atomic, version};

/// As plugins are installed everywhere.
const MODE: u32 = 0o755;

/// What is to be installed where.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// The runtime's plugin directory.
    pub bin_dir: PathBuf,
    /// Names under which the shim is found there; `plexus` is always one.
    pub names: Vec<String>,
    /// The shim; that beside plexusd when absent.
    pub source: Option<PathBuf>,
    /// Take the place of plugins of other vendors, too.
    pub replace: bool,
}

/// What has a name in the plugin directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// A link to our file.
    Us,
    /// Somebody else's program.
    Another,
}

/// Installs; a second time it changes nothing. Each file that could not be installed is an error, after the others were.
pub fn install(options: &InstallOptions) -> anyhow::Result<Vec<Done>> {
    for name in &options.names {
        check_plugin_type(name, "--names")?;
        ensure!(!name.ends_with(KEPT_ASIDE), "--names {name}: that is the name of a plugin kept aside");
    }
    let _alone = lock(&options.bin_dir)?;
    let mut done = vec![shim(options)?];
    for name in options.names.iter().filter(|name| *name != SHIM_NAME) {
        let path = options.bin_dir.join(name);
        let linked = link(&path, name, options.replace);
        done.push(linked.with_context(|| format!("cannot install the shim as {}", path.display()))?);
    }
    Ok(done)
}

/// One installation in a directory at a time.
pub(super) fn lock(dir: &Path) -> anyhow::Result<Flock<File>> {
    let file =
        File::open(dir).with_context(|| format!("cannot open the plugin directory {}", dir.display()))?;
    ensure!(file.metadata()?.is_dir(), "{} is not a directory", dir.display());
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {}", dir.display()))
}

/// What the name at `path` leads to.
pub(super) fn holder(path: &Path) -> std::io::Result<Holder> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Holder::Nobody),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_symlink() && fs::read_link(path)? == Path::new(SHIM_NAME) => Ok(Holder::Us),
        Ok(_) => Ok(Holder::Another),
    }
}

/// Where the program that had this name is kept.
pub(super) fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(KEPT_ASIDE);
    aside.into()
}

fn shim(options: &InstallOptions) -> anyhow::Result<Done> {
    let source = options.source.clone().map_or_else(beside_us, Ok)?;
    let path = options.bin_dir.join(SHIM_NAME);
    let what = || format!("cannot install {} as {}", source.display(), path.display());
    let content = fs::read(&source).with_context(what)?;
    let present = match fs::read(&path) {
        Ok(present) => Some(present),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(what),
    };
    if present.as_deref() == Some(&content) {
        let versions =
            version::ask(&path).with_context(|| format!("{} is there but does not run", path.display()))?;
        return Ok(Done::new(Deed::Unchanged, path, spoken(&versions)));
    }
    let draft = atomic::write_draft(&path, &mut content.as_slice(), MODE).with_context(what)?;
    // Before it takes its place: a shim that does not run would stop every pod of the node.
    let outcome = version::ask(&draft).and_then(|versions| {
        atomic::publish(&draft, &path)?;
        Ok(versions)
    });
    if outcome.is_err() {
        atomic::remove(&draft)?;
    }
    let versions = outcome.with_context(what)?;
    let deed = if present.is_some() { Deed::Upgraded } else { Deed::Installed };
    Ok(Done::new(deed, path, spoken(&versions)))
}

fn spoken(versions: &[String]) -> String {
    match (versions.first(), versions.last()) {
        (Some(first), Some(last)) => format!("CNI {first} to {last}"),
        _ => "it speaks no version of CNI".into(),
    }
}

fn beside_us() -> anyhow::Result<PathBuf> {
    let own =
        std::env::current_exe().context("cannot tell where plexusd lies; name the shim with --source")?;
    Ok(own.with_file_name(SHIM_NAME))
}

fn link(path: &Path, name: &str, replace: bool) -> anyhow::Result<Done> {
    let note = format!("-> {SHIM_NAME}");
    match holder(path)? {
        Holder::Us => Ok(Done::new(Deed::Unchanged, path.to_owned(), note)),
        Holder::Nobody => {
            atomic::link(SHIM_NAME, path)?;
            Ok(Done::new(Deed::Installed, path.to_owned(), note))
        }
        // Whoever asks for Multus' names wants its place.
        Holder::Another if replace || META_TYPES.contains(&name) => {
            let aside = aside(path);
            atomic::keep_aside(path, &aside)?;
            atomic::link(SHIM_NAME, path)?;
            Ok(Done::new(Deed::Replaced, path.to_owned(), format!("{note}; kept as {}", aside.display())))
        }
        Holder::Another => {
            let note = "a plugin of another vendor; --replace takes its place";
            Ok(Done::new(Deed::Left, path.to_owned(), note))
        }
    }
}

/// Refuses a directory in which nothing of ours is.
pub(super) fn require_ours(dir: &Path) -> anyhow::Result<()> {
    if !dir.join(SHIM_NAME).exists() {
        bail!("{} holds no {SHIM_NAME}; nothing was changed", dir.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
