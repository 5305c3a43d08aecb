//! `plexusctl config`: what can be said of configs without an agent.

mod check;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use plexus_cni::lint::Severity;
use serde_json::json;

use super::Output;
use crate::config::schema;

/// What is done with configs.
#[derive(Subcommand)]
pub(super) enum Config {
    /// Checks NetworkAttachmentDefinitions, pods, CNI files, Multus' and plexusd's configs, and says where Plexus differs
    /// from Multus. Exit status 1 if there are errors.
    Check {
        /// Files, or directories of them; `-` is standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The JSON schema of plexusd's config file.
    Schema,
}

/// Runs one command; no agent is asked.
pub(super) fn run(command: &Config, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Config::Check { files } => {
            let findings = check::findings(files)?;
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            super::print(&match output {
                Output::Table => check::render(&findings),
                other => other.document(&json!({"findings": findings, "errors": errors}))?,
            })?;
            if errors > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Config::Schema => super::print(&output.document(&schema())?)?,
    }
    Ok(ExitCode::SUCCESS)
}
