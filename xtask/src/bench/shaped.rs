//! Where `police` measures the shaper: here, or, if this machine's kernel has no fq, in a guest whose kernel has it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::args::BenchOptions;
use crate::paths::Workspace;
use crate::setup::{self, Series, VmTools};
use crate::vm::{self, Guest};

/// The guest's kernel.
const SERIES: Series = Series::V6_12;
/// The guest's report, in the directory that it shares.
const REPORT: &str = "shaped.json";
/// A guest that takes longer is ended: an emulated one boots for a minute, and every arm runs for `--seconds`.
const DEADLINE: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_millis(200);
/// Lines of the console that a warning repeats.
const CONSOLE_LINES: usize = 20;

/// Whether the shaper is to be measured in a guest.
pub(super) fn needs_guest(options: &BenchOptions) -> bool {
    !options.no_guest && !has_fq()
}

/// What `plexus-bench police` is told of the shaper.
pub(super) fn arguments(workspace: &Workspace, options: &BenchOptions) -> Result<Vec<OsString>> {
    if has_fq() {
        return Ok(Vec::new());
    }
    let outcome = if options.no_guest {
        Err("this kernel has no fq, and --no-guest was given".to_owned())
    } else {
        in_guest(workspace, options)?
    };
    Ok(match outcome {
        Ok(report) => vec!["--shaped-report".into(), report.into()],
        Err(why) => {
            eprintln!("warning: the shaper is not measured: {why}");
            // A report has the first line only.
            let why = why.lines().next().unwrap_or_default().to_owned();
            vec!["--shaped-absent".into(), why.into()]
        }
    })
}

/// Whether this kernel has fq, tried in a network namespace that ends with the command.
fn has_fq() -> bool {
    let try_it = ["--net", "tc", "qdisc", "add", "dev", "lo", "root", "fq"];
    let mut command = Command::new("unshare");
    command.args(try_it).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The report of a guest; the inner error says why there is none.
fn in_guest(workspace: &Workspace, options: &BenchOptions) -> Result<Result<PathBuf, String>> {
    let (Some(tools), Some(kernel)) = (VmTools::find(workspace), setup::kernel(workspace, SERIES)) else {
        return Ok(Err("this kernel has no fq, and there is no QEMU or no kernel for a guest".into()));
    };
    let shared = workspace.target().join("plexus/bench-guest");
    if shared.exists() {
        fs::remove_dir_all(&shared).with_context(|| format!("cannot empty {}", shared.display()))?;
    }
    fs::create_dir_all(&shared).with_context(|| format!("cannot create {}", shared.display()))?;
    let report = shared.join(REPORT);
    let command = command(workspace, options, &report);
    eprintln!("TCP through the shaper: booting {}, a guest whose kernel has fq", kernel.release);
    let guest = Guest { tools: &tools, kernel: &kernel, series: SERIES, shared: &shared, command: &command };
    let mut child = guest.start(workspace)?;
    let failure = match ended_well(&mut child, DEADLINE)? {
        true if report.is_file() => return Ok(Ok(report)),
        true => "the guest wrote no report",
        false => "the guest failed, or took too long",
    };
    Ok(Err(format!("this kernel has no fq, and {failure}\n{}", console_tail(&guest.console()))))
}

/// What the guest runs.
fn command(workspace: &Workspace, options: &BenchOptions, report: &Path) -> Vec<String> {
    let programs = workspace.bin_dir();
    let path = |path: &Path| path.display().to_string();
    let mut words = vec![path(&programs.join("plexus-bench")), "police".into(), "--shaped".into()];
    words.extend(["--bin-dir".into(), path(&programs), "--report".into(), path(report)]);
    words.extend(["--reference-bin".into(), path(&setup::reference_plugins())]);
    for (flag, value) in [
        ("--seconds", options.seconds.map(|seconds| seconds.to_string())),
        ("--rounds", options.rounds.map(|rounds| rounds.to_string())),
    ] {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    words
}

/// Waits until the guest ends; ends it after `limit`.
fn ended_well(child: &mut Child, limit: Duration) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().context("cannot wait for QEMU")? {
            return Ok(vm::is_well(status));
        }
        thread::sleep(POLL);
    }
    child.kill().and_then(|()| child.wait()).context("cannot end QEMU")?;
    Ok(false)
}

fn console_tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n    ");
    format!("its console is in {}\n    {tail}", console.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_takes_too_long_is_ended_and_one_that_says_so_ended_well() {
        let shell = |script: &str| Command::new("sh").args(["-c", script]).spawn().unwrap();
        assert!(!ended_well(&mut shell("exec sleep 60"), Duration::from_millis(300)).unwrap());
        assert!(ended_well(&mut shell("exit 3"), DEADLINE).unwrap());
        assert!(!ended_well(&mut shell("exit 0"), DEADLINE).unwrap());
    }
}
