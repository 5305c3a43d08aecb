//! The end inside of a guest: runs the list, one test after the other.

use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::lines::{Line, Writer, read_cases};
use crate::args::GuestOptions;
use crate::paths::Workspace;
use crate::test::case::Case;
use crate::test::report::Outcome;
use crate::test::suite::Suite;

/// Between two signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Succeeds when each test has its line, whatever it says.
pub(crate) fn verb(workspace: &Workspace, options: &GuestOptions) -> Result<ExitCode> {
    let mut writer = Writer::open(&options.directory)?;
    for (number, case) in read_cases(&options.directory)?.iter().enumerate() {
        writer.write(&Line::Started { case: number })?;
        let started = Instant::now();
        let outcome = alive(case, || {
            case.run(workspace, Suite::Vm.deadline())
                .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
        });
        // On the console, where it tells how far a guest came that hangs.
        println!("{:>7.1} s {}", started.elapsed().as_secs_f64(), case.title());
        writer.write(&Line::Ended { case: number, outcome })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does `work`, and says on the console now and then that the guest is alive: a long test is no hung guest.
fn alive<T>(case: &Case, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            while is_done.recv_timeout(SIGN_OF_LIFE) == Err(RecvTimeoutError::Timeout) {
                println!("          in {}", case.title());
            }
        });
        let outcome = work();
        drop(done);
        outcome
    })
}
