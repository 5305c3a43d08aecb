//! The archive and its checksums.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::archive_path;
use crate::paths::Workspace;
use crate::run;

/// What every reproducible build takes as its time: https://reproducible-builds.org/specs/source-date-epoch/
const TIME_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// Writes `SHA256SUMS` into the tree, for `sha256sum --check`.
pub(super) fn write_checksums(tree: &Path, files: &[PathBuf]) -> Result<()> {
    let mut sums = String::new();
    for file in files {
        let name = file.strip_prefix(tree)?;
        let sum = sha256(file)?;
        writeln!(sums, "{sum}  {}", name.display())?;
    }
    let path = tree.join("SHA256SUMS");
    fs::write(&path, sums).with_context(|| format!("cannot write {}", path.display()))
}

/// Packs the tree and writes the archive's own checksum beside it.
pub(super) fn pack(workspace: &Workspace, tree: &Path, name: &str) -> Result<PathBuf> {
    let archive = archive_path(workspace, name);
    let parent = tree.parent().context("a tree has a directory")?;
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", "--use-compress-program=gzip --no-name --best"])
        .arg(format!("--mtime=@{}", time(workspace)?))
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(parent)
        .arg(name);
    run::shown("pack the archive", tar.stdin(Stdio::null()))?;
    let sums = archive.with_extension("gz.sha256");
    fs::write(&sums, format!("{}  {name}.tar.gz\n", sha256(&archive)?))
        .with_context(|| format!("cannot write {}", sums.display()))?;
    Ok(archive)
}

/// Seconds since 1970 that all files of the archive have: the builder's word, else the commit's time.
fn time(workspace: &Workspace) -> Result<String> {
    if let Ok(time) = std::env::var(TIME_VARIABLE) {
        return Ok(time);
    }
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%ct"]).current_dir(workspace.root());
    run::output("ask for the commit's time", &mut log)
}

fn sha256(file: &Path) -> Result<String> {
    let line = run::output("take a checksum", Command::new("sha256sum").arg("--binary").arg(file))?;
    Ok(line.split_whitespace().next().context("sha256sum printed nothing")?.to_owned())
}
