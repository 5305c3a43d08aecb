//! The end inside of a guest: runs the list, one test after the other.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use super::lines::{Line, Writer, read_cases};
use crate::args::GuestOptions;
use crate::paths::Workspace;
use crate::test::report::Outcome;
use crate::test::suite::Suite;

/// Succeeds when each test has its line, whatever it says.
pub(crate) fn verb(workspace: &Workspace, options: &GuestOptions) -> Result<ExitCode> {
    let mut writer = Writer::open(&options.directory)?;
    for (number, case) in read_cases(&options.directory)?.iter().enumerate() {
        writer.write(&Line::Started { case: number })?;
        let started = Instant::now();
        let outcome = case
            .run(workspace, Suite::Vm.deadline())
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        // On the console, where it tells how far a guest came that hangs.
        println!("{:>7.1} s {}", started.elapsed().as_secs_f64(), case.title());
        writer.write(&Line::Ended { case: number, outcome })?;
    }
    Ok(ExitCode::SUCCESS)
}
