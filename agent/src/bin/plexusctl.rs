//! The tool for people: asks the node agent.

use std::process::ExitCode;

use clap::Parser as _;
use plexus_agent::ctl::{Cli, run};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plexusctl: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
