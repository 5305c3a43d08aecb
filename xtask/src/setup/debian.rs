//! Debian's archive, read without touching the machine's own package management: private sources, lists and downloads,
//! and packages that are unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::mirror::mirror;
use super::packages;
use crate::run;

/// A directory with a package list of its own; removed by [`Archive::remove`].
#[derive(Debug)]
pub(super) struct Archive {
    staging: PathBuf,
}

impl Archive {
    /// Reads the list of `suite` (with its sources, if `with_sources`) into the new directory `staging`. Needs no root
    /// where Debian's keys are installed.
    pub(super) fn open(staging: &Path, suite: &str, with_sources: bool) -> Result<Self> {
        if !packages::missing(packages::DEBIAN_KEYS).is_empty() {
            packages::install(packages::DEBIAN_KEYS)?;
        }
        remove_dir(staging)?;
        let kinds: &[&str] = if with_sources { &["deb", "deb-src"] } else { &["deb"] };
        let mirror = mirror();
        let lines = kinds
            .iter()
            .map(|kind| format!("{kind} [signed-by={}] {mirror} {suite} main", packages::DEBIAN_KEYRING));
        let sources = lines.chain([String::new()]).collect::<Vec<_>>().join("\n");
        fs::create_dir_all(staging.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(staging.join("cache/archives/partial")))
            .and_then(|()| fs::write(staging.join("sources.list"), sources))
            .with_context(|| format!("cannot prepare {}", staging.display()))?;
        let archive = Self { staging: staging.to_owned() };
        let what = format!("read the package list of Debian {suite}");
        run::with_progress(&what, archive.apt("apt-get").arg("update"))?;
        Ok(archive)
    }

    /// apt with its own sources, lists and download directory.
    pub(super) fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.staging).env("DEBIAN_FRONTEND", "noninteractive");
        for (option, value) in [
            ("Dir::Etc::sourcelist", self.staging.join("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".into()),
            ("Dir::State::Lists", self.staging.join("lists")),
            ("Dir::Cache", self.staging.join("cache")),
        ] {
            command.arg(format!("-o{option}={}", value.display()));
        }
        command.args(["-oAcquire::Retries=3", "-oAcquire::Languages=none", "-oAPT::Sandbox::User=root"]);
        command
    }

    /// Downloads `packages` and unpacks them into the directory `into` beneath the staging directory, which it returns.
    pub(super) fn unpack(&self, packages: &[&str], into: &str) -> Result<PathBuf> {
        let what = format!("download {}", packages.join(" "));
        run::with_progress(&what, self.apt("apt-get").arg("download").args(packages))?;
        let root = self.staging.join(into);
        for package in self.downloads("deb")? {
            let mut command = Command::new("dpkg");
            run::output("unpack a package", command.arg("-x").arg(&package).arg(&root))?;
            fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
        }
        Ok(root)
    }

    /// Downloaded files whose name ends in `.extension`.
    pub(super) fn downloads(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(&self.staging).with_context(|| format!("cannot list {}", self.staging.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
    }

    /// The directory.
    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Removes everything that was not moved out of the staging directory.
    pub(super) fn remove(self) -> Result<()> {
        remove_dir(&self.staging)
    }
}

/// Removes a directory; one that is not there is fine.
pub(super) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
