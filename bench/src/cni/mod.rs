//! `plexus-bench cni`: how long ADD and DEL take, how many go in parallel, and what plexusd keeps in memory.
//!
//! All arms take turns within each round, on the same host and the same parent link, so that whatever else the
//! machine does hits all of them alike; only ratios inside one run are compared.

mod arm;
mod burst;
mod config;
mod floor;
mod memory;
mod netlink;
mod rounds;
mod stage;
mod summary;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::CniOptions;
use crate::publish::publish;
use crate::report::BenchReport;
use crate::screen::Screen;
use stage::Stage;

/// Measures, shows the figures and writes the report. A wish that is not met is shown, it is no failure.
pub(crate) fn verb(options: &CniOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = BenchReport::begin("cni");
    screen.heading("ADD and DEL of a macvlan with host-local");
    {
        let stage = Stage::build(options)?;
        report.conditions = stage.conditions(options)?;
        let resident = stage.settle()?;
        let mut arms = stage.arms(options)?;
        report.arms.extend(rounds::measure(&mut arms, options.rounds, screen)?);
        drop(arms);
        report.arms.extend(burst::measure(&stage, options, screen)?);
        resident.leave()?;
    }
    if options.pods > 0 {
        report.arms.extend(memory::measure(options, screen)?);
    }
    report.ratios = summary::ratios(&report.arms);
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}
