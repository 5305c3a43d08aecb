//! The node agent.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use plexus_agent::args::{Cli, Command};
use plexus_agent::run::run;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // The client library reports each failed call once more, without saying what it was for.
    let filter =
        EnvFilter::try_from_env("PLEXUS_LOG").unwrap_or_else(|_| EnvFilter::new("info,kube_client=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let Command::Run(options) = Cli::parse().command;
    match run((*options).into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
