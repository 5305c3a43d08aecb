//! The suite `vm`: tests that need another kernel, or hardware that is theirs alone, in one guest per kernel.
//!
//! The guest runs the tests one by one as this machine would, and says so line by line in a file that both see. What it
//! leaves undone because it hung or died is run by a fresh one.

mod borrowed;
pub(crate) mod guest;
mod lines;
mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use self::lines::{CASES, Line, Progress};
use super::binary::TestBinary;
use super::case::Case;
use super::report::{Outcome, Report, Row};
use super::suite::{Suite, empty_log_dir};
use crate::paths::Workspace;
use crate::setup::{self, Series, VmTools};
use crate::vm::{self, Guest};

/// Guests of one kernel in one run, the first included.
const BOOTS_MAX: usize = 4;

/// Runs the tests whose names contain any of `filter` on the kernels `series`, all guests at the same time, and adds a row
/// for each to `report`.
///
/// A guest runs one test after the other, so it seldom keeps more than one processor busy.
pub(super) fn run(
    workspace: &Workspace,
    series: &[Series],
    binaries: &[TestBinary],
    filter: &[String],
    report: &mut Report,
) -> Result<()> {
    let xtask = vm::own_copy(workspace)?;
    let rows: Vec<Result<Row>> = thread::scope(|scope| {
        let xtask = &xtask;
        let watch = |&series| scope.spawn(move || run_on(workspace, series, xtask, binaries, filter));
        let guests: Vec<_> = series.iter().map(watch).collect();
        let panicked = |_| Err(anyhow::anyhow!("a thread that watches a guest panicked"));
        guests.into_iter().map(|guest| guest.join().unwrap_or_else(panicked)).collect()
    });
    for row in rows {
        report.push(row?);
    }
    Ok(())
}

/// The row of one kernel.
fn run_on(
    workspace: &Workspace,
    series: Series,
    xtask: &Path,
    binaries: &[TestBinary],
    filter: &[String],
) -> Result<Row> {
    let suite = row_name(series);
    let logs = empty_log_dir(workspace, suite)?;
    let (cases, lost) = select(binaries, filter, series, &logs)?;
    eprintln!("suite {suite}: {} tests", cases.len());
    let started = Instant::now();
    let mut row = Row::new(suite);
    for test in lost {
        let why = "no test begins so any more: correct xtask/src/test/vm/borrowed.rs";
        row.add(test, Outcome::Failed(why.into()));
    }
    let why_not = match (VmTools::find(workspace), setup::kernel(workspace, series)) {
        _ if cases.is_empty() => None,
        _ if !setup::is_root()? => Some("a guest sees this machine's files as root does, so it needs root"),
        (None, _) => Some("QEMU, or a program that a guest starts with, is missing: see `cargo xtask setup`"),
        (_, None) => Some("this kernel is missing: see `cargo xtask setup`"),
        (Some(tools), Some(kernel)) => {
            eprintln!("booting {}", kernel.release);
            let command = [xtask, Path::new("guest"), &logs].map(|word| word.display().to_string());
            let guest = Guest { tools: &tools, kernel: &kernel, series, shared: &logs, command: &command };
            run_all(workspace, &guest, cases.clone(), &mut row)?;
            None
        }
    };
    for (case, why) in cases.iter().zip(why_not.into_iter().cycle()) {
        row.add(case.title(), Outcome::Skipped(why.into()));
    }
    row.took(started.elapsed());
    Ok(row)
}

fn row_name(series: Series) -> &'static str {
    match series {
        Series::V6_1 => "vm-6.1",
        Series::V6_12 => "vm-6.12",
    }
}

/// The suite's own tests, and those that it borrows from others; also the borrowed ones that are nowhere.
fn select(
    binaries: &[TestBinary],
    filter: &[String],
    series: Series,
    logs: &Path,
) -> Result<(Vec<Case>, Vec<String>)> {
    let (mut cases, mut seen) = (Vec::new(), Vec::new());
    for binary in binaries {
        let is_own = Suite::of(binary) == Suite::Vm;
        if !is_own && !borrowed::is_lender(binary) {
            continue;
        }
        for (name, is_ignored) in binary.list()? {
            let is_wanted = filter.is_empty() || filter.iter().any(|part| name.contains(part));
            if is_wanted && (is_own || borrowed::is_borrowed(binary, &name, series)) {
                cases.push(Case::new(binary, name.clone(), is_ignored, logs, cases.len()));
            }
            seen.push((binary.name.clone(), name));
        }
    }
    Ok((cases, borrowed::lost(&seen)))
}

/// Boots until every case has an outcome.
fn run_all(workspace: &Workspace, guest: &Guest<'_>, cases: Vec<Case>, row: &mut Row) -> Result<()> {
    let mut waiting: Vec<Case> = cases;
    for boot in 1..=BOOTS_MAX {
        if waiting.is_empty() {
            return Ok(());
        }
        let list = guest.shared.join(CASES);
        let text = serde_json::to_vec(&waiting).context("cannot write the list of tests")?;
        fs::write(&list, text).with_context(|| format!("cannot write {}", list.display()))?;
        let mut progress = Progress::new(guest.shared)?;
        let mut done = BTreeSet::new();
        let mut running = None;
        let mut take = |line: Line| match line {
            Line::Started { case } => running = Some(case),
            Line::Ended { case, outcome } => {
                running = None;
                if let Some(case) = waiting.get(case).filter(|_| done.insert(case)) {
                    row.add(case.title(), outcome);
                }
            }
        };
        let ended = watch::boot(workspace, guest, &mut progress, &mut take)?;
        if let Err(why) = ended {
            let why = format!("{why}\n{}", watch::console_tail(guest, boot)?);
            if let Some((number, case)) = running.and_then(|number| Some((number, waiting.get(number)?))) {
                row.add(case.title(), Outcome::Failed(why));
                done.insert(number);
            } else {
                // Before its first test or after its last: another boot would end the same way.
                row.add("(guest)".into(), Outcome::Failed(why));
                break;
            }
        }
        let left = waiting.into_iter().enumerate().filter(|(number, _)| !done.contains(number));
        waiting = left.map(|(_, case)| case).collect();
    }
    for case in waiting {
        row.add(case.title(), Outcome::Failed("it was not run: the guests ended before".into()));
    }
    Ok(())
}
