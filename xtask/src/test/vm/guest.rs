//! The end inside of a guest: runs the list, one test after the other.

use std::process::ExitCode;

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
        let outcome = case
            .run(workspace, Suite::Vm.deadline())
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        writer.write(&Line::Ended { case: number, outcome })?;
    }
    Ok(ExitCode::SUCCESS)
}
