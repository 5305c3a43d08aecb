//! `cargo xtask`: sets the machine up, builds, shows, tests and measures Plexus.
//!
//! Depends on none of the workspace's crates, so that it works while they do not compile.

mod args;
mod bench;
mod build;
mod demo;
mod fuzz;
mod lint;
mod manifests;
mod package;
mod paths;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::args::{Arguments, Verb};
use crate::paths::Workspace;

fn main() -> ExitCode {
    match dispatch(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match verb {
        Verb::Setup => setup::verb(&workspace),
        Verb::Build(options) => build::verb(&workspace, &options),
        Verb::Demo(options) => demo::verb(&workspace, &options),
        Verb::Test(options) => Ok(test::verb(&workspace, &options)),
        Verb::Bench(options) => bench::verb(&workspace, &options),
        Verb::Package(options) => package::verb(&workspace, &options),
        Verb::Lint => lint::verb(&workspace),
        Verb::Manifests => manifests::verb(&workspace),
        Verb::Fuzz(options) => fuzz::verb(&workspace, &options),
        Verb::Guest(options) => test::guest::verb(&workspace, &options),
    }
}
