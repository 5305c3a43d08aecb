//! The node agent.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use plexus_agent::args::Command;
use plexus_agent::config::command_line;
use plexus_agent::install::{install, print, uninstall};
use plexus_agent::run::run;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let outcome = command_line(std::env::args_os()).and_then(|(cli, file)| match cli.command {
        Command::Run(options) => {
            log(&options.log_level)?;
            file.log_remarks();
            run(file.complete((*options).into()))
        }
        Command::Install(options) => Ok(print(&install(&options.into())?)?),
        Command::Uninstall(options) => Ok(print(&uninstall(&options.into())?)?),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error of the command line or its file comes before the log.
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!("{error:#}");
            } else {
                eprintln!("plexusd: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Starts the log, on stderr.
fn log(level: &str) -> anyhow::Result<()> {
    // The client library reports each failed call once more, without saying what it was for.
    let filter = EnvFilter::try_new(format!("kube_client=off,{level}"))
        .map_err(|error| anyhow::anyhow!("--log-level {level:?} cannot be used: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
