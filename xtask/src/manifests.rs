//! `cargo xtask manifests`: renders the chart to `deploy/manifests`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::paths::Workspace;
use crate::{run, setup};

/// Writes every file anew; a test compares them with the chart.
pub(crate) fn verb(workspace: &Workspace) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_MANIFESTS)?;
    let helm = setup::helm_path(workspace).context("nothing can be rendered without helm")?;
    let mut command = run::cargo();
    command
        .current_dir(workspace.root())
        .args(["run", "--quiet", "--locked", "--package", "plexus-deploy", "--target-dir"])
        .arg(workspace.target())
        .env("PLEXUS_HELM", helm);
    run::shown("render the manifests", &mut command)?;
    Ok(ExitCode::SUCCESS)
}
