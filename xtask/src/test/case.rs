//! One test: a process of its own, an output file, a deadline.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::binary::TestBinary;
use super::report::Outcome;
use crate::paths::Workspace;
use crate::setup;

/// How a test says that it could not run; what follows is the reason.
const SKIP_MARK: &str = "SKIPPED: ";
/// Names a file to which a test may append `name<TAB>reason` instead of printing the mark.
const SKIP_FILE_VARIABLE: &str = "PLEXUS_TEST_SKIPS";
/// Of a failed test's output, so much is repeated on the terminal.
const SHOWN_LINES: usize = 60;
/// Between two looks at a running test: short at first, because most tests end at once.
const POLL: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// Programs that measure traffic, and must not share the processors with other tests.
const MEASURING: [&str; 2] = ["netns_forward", "netns_scenario"];

/// A test that is about to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Case {
    binary: TestBinary,
    name: String,
    is_ignored: bool,
    log: PathBuf,
}

impl Case {
    /// The test `name` of `binary`; `number` keeps apart the output files of tests with the same name.
    pub(super) fn new(
        binary: &TestBinary,
        name: String,
        is_ignored: bool,
        logs: &Path,
        number: usize,
    ) -> Self {
        let readable: String = name.replace("::", ".").chars().take(120).collect();
        let log = logs.join(format!("{number:04}-{}-{readable}.log", binary.name));
        Self { binary: binary.clone(), name, is_ignored, log }
    }

    /// What a person calls it.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.binary.name, self.name)
    }

    /// Whether it must run alone.
    pub(super) fn measures(&self) -> bool {
        MEASURING.contains(&self.binary.name.as_str())
    }

    /// Runs it. An error means that it could not even be started.
    pub(super) fn run(&self, workspace: &Workspace, deadline: Duration) -> Result<Outcome> {
        if self.is_ignored {
            return Ok(Outcome::Skipped("it is marked #[ignore]".into()));
        }
        let mut child =
            self.start(workspace).with_context(|| format!("cannot start test {}", self.title()))?;
        let ended =
            wait(&mut child, deadline).with_context(|| format!("cannot wait for test {}", self.title()))?;
        let output = fs::read(&self.log).unwrap_or_default();
        Ok(self.judge(ended, deadline, &String::from_utf8_lossy(&output)))
    }

    fn skip_file(&self) -> PathBuf {
        self.log.with_extension("skips")
    }

    /// In a process group of its own, so that what a hanging test started can be ended with it.
    fn start(&self, workspace: &Workspace) -> Result<Child> {
        let log = File::create(&self.log)?;
        Command::new(&self.binary.executable)
            .args([self.name.as_str(), "--exact", "--nocapture"])
            .current_dir(&self.binary.package_dir)
            .env("CARGO_MANIFEST_DIR", &self.binary.package_dir)
            .env("PLEXUS_BIN_DIR", workspace.test_bin_dir())
            .env("CNI_REFERENCE_BIN", setup::reference_plugins())
            .env(setup::KUBE_ASSETS_VARIABLE, setup::kube_assets(workspace))
            .envs(setup::helm_path(workspace).map(|helm| ("PLEXUS_HELM", helm)))
            .env(SKIP_FILE_VARIABLE, self.skip_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context(self.binary.executable.display().to_string())
    }

    fn judge(&self, ended: Option<ExitStatus>, deadline: Duration, output: &str) -> Outcome {
        let Some(status) = ended else {
            return self.failed(&format!("did not end within {} s", deadline.as_secs()), output);
        };
        if !status.success() {
            return self.failed(&format!("ended with {status}"), output);
        }
        // A test that ends its own process would look like one that passed.
        if !output.contains("test result: ok. 1 passed") {
            return self.failed("ended its process before the test was over", output);
        }
        let noted = fs::read_to_string(self.skip_file()).unwrap_or_default();
        match skip_reason(output, &noted) {
            Some(reason) => Outcome::Skipped(reason),
            None => Outcome::Passed,
        }
    }

    fn failed(&self, why: &str, output: &str) -> Outcome {
        let lines: Vec<&str> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n    ");
        Outcome::Failed(format!("{why}; its output is in {}\n    {tail}", self.log.display()))
    }
}

/// The reason that a test gave for not running, in its output or in its skip file.
fn skip_reason(output: &str, noted: &str) -> Option<String> {
    let printed = output.lines().find_map(|line| {
        // With --nocapture the harness may have begun the line: `test NAME ... `.
        let line = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
            .map_or(line, |(_, rest)| rest);
        line.strip_prefix(SKIP_MARK)
    });
    let noted = noted.lines().next().map(|line| line.split_once('\t').map_or(line, |(_, reason)| reason));
    printed.or(noted).map(|reason| reason.trim().to_owned())
}

/// The exit status, or `None` if the test had to be ended.
fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let [brisk, calm] = POLL;
        thread::sleep(if started.elapsed() < calm { brisk } else { calm });
    }
    // No signal can be sent without unsafe code or a crate; the shell has one built in.
    Command::new("sh").args(["-c", &format!("kill -s KILL -- -{}", child.id())]).status()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const PASSED: &str = "test result: ok. 1 passed; 0 failed";

    #[test]
    fn a_skip_is_read_from_the_output_even_behind_the_harness_words() {
        let output = format!("running 1 test\ntest netns::vlan ... SKIPPED: no vlan device\nok\n{PASSED}");
        assert_eq!(skip_reason(&output, ""), Some("no vlan device".into()));
        assert_eq!(skip_reason("SKIPPED: needs root", ""), Some("needs root".into()));
    }

    #[test]
    fn a_skip_is_read_from_the_file() {
        assert_eq!(skip_reason(PASSED, "netns::vlan\tno vlan device\n"), Some("no vlan device".into()));
    }

    #[test]
    fn talking_about_skips_is_not_skipping() {
        assert_eq!(skip_reason(&format!("the label SKIPPED: is printed\n{PASSED}"), ""), None);
    }

    #[test]
    fn a_hanging_test_is_ended_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        assert!(wait(&mut child, Duration::from_millis(50)).unwrap().is_none());
        // The pipe ends when nobody holds it any more, so only if the sleep is gone too.
        assert_eq!(pipe.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn an_early_exit_is_no_pass() {
        let binary = TestBinary {
            name: "b".into(),
            is_integration: true,
            executable: "/nowhere".into(),
            package_dir: "/".into(),
        };
        let case = Case::new(&binary, "t".into(), false, Path::new("/nowhere"), 0);
        let success = Command::new("true").status().unwrap();
        assert!(matches!(case.judge(Some(success), Duration::ZERO, "running 1 test"), Outcome::Failed(_)));
        assert!(matches!(case.judge(Some(success), Duration::ZERO, PASSED), Outcome::Passed));
    }
}
