//! Suites: which tests belong to each, and how they are run.

use std::collections::VecDeque;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::binary::TestBinary;
use super::case::Case;
use super::report::{Outcome, Report, Row};
use crate::paths::Workspace;
use crate::setup;

/// A layer of tests that cargo compiles. Files of a `tests` directory choose their suite by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    /// Everything else: unit and property tests, the shim's process contract, style checks.
    Unit,
    /// `bpf_*`: programs run by `BPF_PROG_TEST_RUN`.
    Bpf,
    /// `netns_*`: whole paths in throw-away network namespaces.
    Netns,
    /// `api_*`: the same against a real API server.
    Api,
    /// `vm_*`: what needs another kernel or hardware of its own; run in guests by [`super::vm`].
    Vm,
}

impl Suite {
    /// The word that selects it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Bpf => "bpf",
            Self::Netns => "netns",
            Self::Api => "api",
            Self::Vm => "vm",
        }
    }

    /// The suite that a test program belongs to.
    pub(super) fn of(binary: &TestBinary) -> Self {
        match () {
            () if binary.is_integration && binary.name.starts_with("bpf_") => Self::Bpf,
            () if binary.is_integration && binary.name.starts_with("netns_") => Self::Netns,
            () if binary.is_integration && binary.name.starts_with("api_") => Self::Api,
            () if binary.is_integration && binary.name.starts_with("vm_") => Self::Vm,
            () => Self::Unit,
        }
    }

    fn needs_root(self) -> bool {
        self != Self::Unit
    }

    /// Tests at a time. Each has namespaces, mounts and directories of its own, so that they do not see each other.
    fn threads(self) -> usize {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        match self {
            Self::Unit | Self::Api => processors,
            // They wait most of their time.
            Self::Netns => processors * 2,
            // Many replace programs under traffic and count what was lost.
            Self::Bpf | Self::Vm => 1,
        }
    }

    /// A test that runs longer is ended and has failed.
    pub(super) fn deadline(self) -> Duration {
        match self {
            Self::Unit | Self::Bpf => Duration::from_mins(2),
            Self::Netns | Self::Api => Duration::from_mins(5),
            // Where the processor is emulated and busy as well, ten times what it takes elsewhere.
            Self::Vm => Duration::from_mins(10),
        }
    }

    /// Runs its tests whose names contain any of `filter` (all, if that is empty) and adds them to `report`.
    pub(super) fn run(
        self,
        workspace: &Workspace,
        binaries: &[TestBinary],
        filter: &[String],
        report: &mut Report,
    ) -> Result<()> {
        let logs = empty_log_dir(workspace, self.name())?;
        let mut cases = VecDeque::new();
        for binary in binaries.iter().filter(|binary| Self::of(binary) == self) {
            for (name, is_ignored) in binary.list()? {
                if filter.is_empty() || filter.iter().any(|part| name.contains(part)) {
                    cases.push_back(Case::new(binary, name, is_ignored, &logs, cases.len()));
                }
            }
        }
        let started = Instant::now();
        eprintln!("suite {}: {} tests", self.name(), cases.len());
        let mut row = Row::new(self.name());
        if self.needs_root() && !setup::is_root()? {
            let why = Outcome::Skipped("it makes network namespaces and loads eBPF, so it needs root".into());
            for case in &cases {
                row.add(case.title(), why.clone());
            }
        } else {
            self.run_all(workspace, cases, &mut row)?;
        }
        row.took(started.elapsed());
        report.push(row);
        Ok(())
    }

    fn run_all(self, workspace: &Workspace, cases: VecDeque<Case>, row: &mut Row) -> Result<()> {
        let (alone, together): (VecDeque<_>, _) = cases.into_iter().partition(Case::measures);
        self.run_some(workspace, self.threads(), together, row)?;
        self.run_some(workspace, 1, alone, row)
    }

    fn run_some(
        self,
        workspace: &Workspace,
        threads: usize,
        cases: VecDeque<Case>,
        row: &mut Row,
    ) -> Result<()> {
        let waiting = Mutex::new(cases);
        let row = Mutex::new(row);
        let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || -> Result<()> {
            while let Some(case) = take() {
                let outcome = case.run(workspace, self.deadline())?;
                row.lock().unwrap_or_else(PoisonError::into_inner).add(case.title(), outcome);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that runs tests panicked")))
            })
        })
    }
}

/// The directory for the output of a suite's tests, without that of the last run.
pub(super) fn empty_log_dir(workspace: &Workspace, suite: &str) -> Result<PathBuf> {
    let logs = workspace.test_log_dir().join(suite);
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| format!("cannot empty {}", logs.display()))?;
    }
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(name: &str, is_integration: bool) -> TestBinary {
        TestBinary {
            name: name.into(),
            is_integration,
            executable: "/nowhere".into(),
            package_dir: "/".into(),
        }
    }

    #[test]
    fn a_test_file_chooses_its_suite_by_its_name() {
        assert_eq!(Suite::of(&binary("bpf_policer", true)), Suite::Bpf);
        assert_eq!(Suite::of(&binary("netns_macvlan", true)), Suite::Netns);
        assert_eq!(Suite::of(&binary("api_status", true)), Suite::Api);
        assert_eq!(Suite::of(&binary("vm_smoke", true)), Suite::Vm);
        assert_eq!(Suite::of(&binary("conformance", true)), Suite::Unit);
        assert_eq!(Suite::of(&binary("bpf_looking_library", false)), Suite::Unit);
    }
}
