//! `cargo xtask demo`: builds everything and runs the end to end demonstration.

use std::path::{self, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result};

use crate::args::DemoOptions;
use crate::build::{self, Profile};
use crate::paths::Workspace;
use crate::{run, setup};

/// Exit status is that of `plexus-bench demo`.
pub(crate) fn verb(workspace: &Workspace, options: &DemoOptions) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_RUN)?;
    build::all(workspace, if options.dev { Profile::Dev } else { Profile::Release })?;
    let mut command = plexus_bench(workspace, "demo");
    if let Some(report) = &options.report {
        command.arg("--report").arg(absolute(report)?);
    }
    Ok(exit_code(run::status("run the demo", &mut command)?))
}

/// The program that drives pods and packets, started in the checkout: it reads deploy/examples.
pub(crate) fn plexus_bench(workspace: &Workspace, verb: &str) -> Command {
    let mut command = Command::new(workspace.bin_dir().join("plexus-bench"));
    command
        .current_dir(workspace.root())
        .arg(verb)
        .arg("--bin-dir")
        .arg(workspace.bin_dir())
        .env("CNI_REFERENCE_BIN", setup::reference_plugins());
    command
}

/// A path that was given relative to where the user stands.
pub(crate) fn absolute(given: &path::Path) -> Result<PathBuf> {
    path::absolute(given).with_context(|| format!("{} is no usable path", given.display()))
}

/// The child's exit status as ours; death by a signal is failure.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
