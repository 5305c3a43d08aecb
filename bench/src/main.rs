//! `plexus-bench`: shows Plexus end to end, and measures it against what it replaces.

mod args;
mod cni;
mod demo;
mod environment;
mod forward;
mod html;
mod ipam;
mod packets;
mod police;
mod profile;
mod publish;
mod readme;
mod report;
mod scenario;
mod screen;
mod summary;
mod wanted;

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
        Verb::Forward(options) => forward::verb(options, &mut screen),
        Verb::Police(options) => police::verb(options, &mut screen),
        Verb::Ipam(options) => ipam::verb(options, &mut screen),
        Verb::Run(options) => scenario::verb(options, &mut screen),
        Verb::Pair(options) => scenario::pair::verb(options, &mut screen),
        Verb::Publish(options) => readme::verb(options, &screen),
    };
    outcome.unwrap_or_else(|error| {
        screen.failure(&error);
        ExitCode::FAILURE
    })
}
