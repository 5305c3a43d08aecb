//! `plexus-bench`: shows Plexus end to end, and measures it against what it replaces.

mod args;
mod cni;
mod demo;
mod environment;
mod report;
mod screen;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Verb};
use crate::screen::Screen;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut screen = Screen::new();
    let outcome = match &arguments.verb {
        Verb::Demo(options) => demo::verb(options, &mut screen),
        Verb::Cni(options) => cni::verb(options, &mut screen),
    };
    outcome.unwrap_or_else(|error| {
        screen.failure(&error);
        ExitCode::FAILURE
    })
}
