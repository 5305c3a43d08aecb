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
    /// Reads the lists of `suites` (with their sources, if `with_sources`) into the new directory `staging`. Needs no root
    /// where Debian's keys are installed.
    pub(super) fn open(staging: &Path, suites: &[&str], with_sources: bool) -> Result<Self> {
        if !packages::missing(packages::DEBIAN_KEYS).is_empty() {
            packages::install(packages::DEBIAN_KEYS)?;
        }
        remove_dir(staging)?;
        let kinds: &[&str] = if with_sources { &["deb", "deb-src"] } else { &["deb"] };
        let mirror = mirror();
        let line = |kind: &str, suite: &str| {
            format!("{kind} [signed-by={}] {mirror} {suite} main", packages::DEBIAN_KEYRING)
        };
        let lines = suites.iter().flat_map(|suite| kinds.iter().map(move |kind| line(kind, suite)));
        let sources = lines.chain([String::new()]).collect::<Vec<_>>().join("\n");
        fs::create_dir_all(staging.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(staging.join("cache/archives/partial")))
            .and_then(|()| fs::write(staging.join("sources.list"), sources))
            .with_context(|| format!("cannot prepare {}", staging.display()))?;
        let archive = Self { staging: staging.to_owned() };
        let what = format!("read the package list of Debian {}", suites.join(", "));
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

    /// `NAME=VERSION` of `packages`, a name with a dash behind it being one that is not wanted, and of all that they need and
    /// this machine lacks. `preferred` is the suite that versions are taken from first.
    pub(super) fn closure(&self, packages: &[&str], preferred: &str) -> Result<Vec<String>> {
        let mut command = self.apt("apt-get");
        command.args(["install", "--simulate", "--no-install-recommends", "--target-release", preferred]);
        let plan = run::output("ask apt what packages need", command.args(packages))?;
        Ok(plan.lines().filter_map(planned).collect())
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

/// `NAME=VERSION` of apt's line `Inst NAME [OLD VERSION] (VERSION SUITE [ARCHITECTURE])`.
fn planned(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let version = rest.split_once('(')?.1.split(' ').next()?;
    Some(format!("{name}={version}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read_with_its_version() {
        let new = "Inst seabios (1.16.3-2~bpo12+1 Debian Backports:oldstable-backports [all])";
        assert_eq!(planned(new), Some("seabios=1.16.3-2~bpo12+1".into()));
        let newer = "Inst liblzma5 [5.4.1-1] (5.4.1-1+deb12u1 Debian:12.15/oldstable [amd64]) []";
        assert_eq!(planned(newer), Some("liblzma5=5.4.1-1+deb12u1".into()));
        assert_eq!(planned("Conf seabios (1.16.3-2~bpo12+1 Debian [all])"), None);
    }
}
