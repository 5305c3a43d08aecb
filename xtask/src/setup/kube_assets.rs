//! A real API server and its database, for the tests of the cluster source.
//!
//! `KUBEBUILDER_ASSETS` names a directory that has both, as in other projects. Elsewhere etcd is unpacked from Debian's
//! archive, and kube-apiserver is compiled from Debian's source package, with the Go compiler that Debian has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::{Archive, remove_dir};
use super::go::Compiler;
use crate::paths::Workspace;
use crate::run;

/// The variable that names a directory with both programs.
pub(crate) const VARIABLE: &str = "KUBEBUILDER_ASSETS";
/// The release of Kubernetes that [`SUITE`] has the source of.
const VERSION: &str = "1.20.2";
/// The last release of Debian with a source package of Kubernetes that builds with its own Go.
const SUITE: &str = "bookworm";
const GO: &str = "usr/lib/go-1.19";
/// The compiler, etcd, and a library whose copy in the source package corrupts memory when it is compiled with Go 1.18 or
/// later.
const PACKAGES: [&str; 4] =
    ["etcd-server", "golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev"];
const REFLECT2: &str = "github.com/modern-go/reflect2";

/// The directory with both programs, whether they are there or not.
pub(crate) fn directory(workspace: &Workspace) -> PathBuf {
    env::var_os(VARIABLE).map_or_else(|| install_root(workspace), PathBuf::from)
}

/// Whether both programs are there.
pub(super) fn is_present(workspace: &Workspace) -> bool {
    let directory = directory(workspace);
    ["etcd", "kube-apiserver"].iter().all(|program| directory.join(program).is_file())
}

fn install_root(workspace: &Workspace) -> PathBuf {
    workspace.cache().join(format!("kube-assets-{VERSION}"))
}

/// What a person would type.
pub(super) fn install_command() -> String {
    format!("setup-envtest use --print path, and {VARIABLE} set to what it prints")
}

/// Downloads, compiles and keeps the two programs: some ten minutes on two cores, once per machine. While it compiles, the
/// cache has 2.5 GB more; 130 MB stay.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    let root = install_root(workspace);
    let archive = Archive::open(&workspace.cache().join("kube-assets.part"), &[SUITE], true)?;
    let unpacked = archive.unpack(&PACKAGES, "root")?;
    let source = source(&archive, &unpacked)?;
    let assets = archive.staging().join("assets");
    fs::create_dir_all(&assets).with_context(|| format!("cannot create {}", assets.display()))?;
    let etcd = unpacked.join("usr/bin/etcd");
    fs::rename(&etcd, assets.join("etcd")).with_context(|| format!("{} is not there", etcd.display()))?;
    Compiler::new(&archive, unpacked.join(GO), source)?.server(&assets.join("kube-apiserver"), VERSION)?;

    remove_dir(&root)?;
    fs::rename(&assets, &root).with_context(|| format!("cannot create {}", root.display()))?;
    archive.remove()
}

/// Unpacks the source package where Go of that time wants it.
fn source(archive: &Archive, unpacked: &Path) -> Result<PathBuf> {
    let mut download = archive.apt("apt-get");
    run::with_progress(
        "download the sources of kube-apiserver",
        download.args(["source", "--download-only", "kubernetes"]),
    )?;
    let tarball = archive.downloads("gz")?.pop().context("apt-get downloaded no source package")?;
    let source = archive.staging().join("go/src/k8s.io/kubernetes");
    fs::create_dir_all(&source).with_context(|| format!("cannot create {}", source.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&tarball).arg("-C").arg(&source).arg("--strip-components=1");
    run::output("unpack the sources of kube-apiserver", &mut tar)?;

    let vendored = source.join("vendor").join(REFLECT2);
    remove_dir(&vendored)?;
    fs::rename(unpacked.join("usr/share/gocode/src").join(REFLECT2), &vendored)
        .context("cannot replace the library reflect2")?;
    Ok(source)
}
