//! `plexusctl config`: what can be said of configs without an agent.

use std::process::ExitCode;

use clap::Subcommand;

use super::Output;
use crate::config::schema;

/// What is done with configs.
#[derive(Subcommand)]
pub(super) enum Config {
    /// The JSON schema of plexusd's config file.
    Schema,
}

/// Runs one command; no agent is asked.
pub(super) fn run(command: &Config, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Config::Schema => super::print(&output.document(&schema())?)?,
    }
    Ok(ExitCode::SUCCESS)
}
