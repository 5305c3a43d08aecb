//! `cargo xtask test`: compiles every test, runs each in a process of its own and counts honestly.
//!
//! Each test has its own process, output file and deadline, on every machine alike, whatever tools are installed:
//! that is how a test that says `SKIPPED:` is told from one that passed, and why a hanging test cannot stop the run.

mod binary;
mod case;
pub(crate) mod report;
mod suite;
mod vm;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::binary::TestBinary;
use self::report::{Outcome, Report, Row};
use self::suite::Suite;
pub(crate) use self::vm::guest;
use crate::args::{Selection, TestOptions};
use crate::build::{bpf, host};
use crate::paths::Workspace;
use crate::toolchain::Toolchain;
use crate::{fuzz, setup};

/// Fails if a test fails, or if a suite that was asked for holds no test at all.
pub(crate) fn verb(workspace: &Workspace, options: &TestOptions) -> ExitCode {
    let suites: &[Suite] = match options.suite {
        Selection::Unit => &[Suite::Unit],
        Selection::Bpf => &[Suite::Bpf],
        Selection::Netns => &[Suite::Netns],
        Selection::Fuzz => &[],
        Selection::Api => &[Suite::Api],
        Selection::Vm => &[Suite::Vm],
        Selection::All => &[Suite::Unit, Suite::Bpf, Suite::Netns, Suite::Api, Suite::Vm],
    };
    let mut report = Report::default();
    if let Err(error) = run(workspace, suites, options, &mut report) {
        // Said as a failed row, so that the closing count is there however the run ends.
        let mut row = Row::new("run");
        row.add("(setup, compiler or test program)".into(), Outcome::Failed(format!("{error:#}")));
        report.push(row);
    }
    report.conclude(!options.filter.is_empty())
}

fn run(workspace: &Workspace, suites: &[Suite], options: &TestOptions, report: &mut Report) -> Result<()> {
    setup::ensure(workspace, setup::FOR_RUN)?;
    if suites.contains(&Suite::Api) {
        setup::ensure(workspace, setup::FOR_API)?;
    }
    if suites.contains(&Suite::Vm) {
        setup::ensure(workspace, setup::FOR_VM)?;
    }
    if suites.contains(&Suite::Unit) {
        setup::ensure(workspace, setup::FOR_MANIFESTS)?;
    }
    if !suites.is_empty() {
        let binaries = compile(workspace)?;
        for &suite in suites {
            if suite == Suite::Vm {
                vm::run(workspace, &options.kernels(), &binaries, &options.filter, report)?;
            } else {
                suite.run(workspace, &binaries, &options.filter, report)?;
            }
        }
    }
    if matches!(options.suite, Selection::Fuzz | Selection::All) {
        fuzz::smoke(workspace, &options.filter, report)?;
    }
    Ok(())
}

/// Builds what the tests embed and execute, then the tests.
fn compile(workspace: &Workspace) -> Result<Vec<TestBinary>> {
    let toolchain = Toolchain::detect()?;
    bpf::objects(workspace, &toolchain)?;
    let directory = workspace.test_bin_dir();
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    host::shim(workspace, &toolchain, &directory)?;
    binary::compile(workspace)
}
