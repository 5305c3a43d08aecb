//! Runs other programs: with their output shown, with a progress line instead, or for their output.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal as _, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Lines of a failed program's output that its error repeats.
const TAIL_LINES: usize = 30;

/// The cargo that runs us, so that a verb never mixes toolchains.
///
/// What `cargo run` says of our own package is not passed on: build scripts of dependencies (ring's) watch these variables,
/// and everything above them would be compiled again at each change between `cargo xtask` and plain cargo.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let is_ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours)) {
        command.env_remove(name);
    }
    command
}

/// Runs `command` with its output going where ours goes and returns its exit status; `what` completes "cannot …".
pub(crate) fn status(what: &str, command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot {what}: starting {} failed", program(command)))
}

/// As [`status`], but a failing program is an error.
pub(crate) fn shown(what: &str, command: &mut Command) -> Result<()> {
    let status = status(what, command)?;
    if !status.success() {
        bail!("cannot {what}: {} ended with {status}; its messages are above", program(command));
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to its standard output, trimmed.
pub(crate) fn output(what: &str, command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot {what}: starting {} failed", program(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("cannot {what}: {} ended with {}: {}", program(command), output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a long `command` behind one progress line; its output is shown only if it fails.
pub(crate) fn with_progress(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    let line = progress_line(what);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot {what}: starting {} failed", program(command)))?;
    let tail = follow(&mut child, &line);
    let status = child.wait().with_context(|| format!("cannot {what}: waiting for {}", program(command)))?;
    line.finish_and_clear();
    if !status.success() {
        let shown = tail.join("\n  ");
        bail!("cannot {what}: {} ended with {status}; it said:\n  {shown}", program(command));
    }
    eprintln!("{what}: done in {} s", started.elapsed().as_secs());
    Ok(())
}

fn progress_line(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{what} ...");
        return ProgressBar::hidden();
    }
    let line = ProgressBar::new_spinner().with_prefix(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(120));
    line
}

/// Reads both outputs to their end, so that the child never blocks on a full pipe, and keeps the last lines.
fn follow(child: &mut Child, line: &ProgressBar) -> Vec<String> {
    let tail = Mutex::new(VecDeque::with_capacity(TAIL_LINES));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| keep_tail(stdout, line, &tail));
        keep_tail(stderr, line, &tail);
    });
    tail.into_inner().unwrap_or_else(PoisonError::into_inner).into()
}

fn keep_tail(stream: Option<impl Read>, line: &ProgressBar, tail: &Mutex<VecDeque<String>>) {
    let Some(stream) = stream else { return };
    for text in BufReader::new(stream).lines().map_while(Result::ok) {
        line.set_message(text.trim().to_owned());
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}

fn program(command: &Command) -> String {
    format!("`{}`", command.get_program().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_last_words() {
        let error =
            with_progress("try it", Command::new("sh").args(["-c", "echo out; echo why >&2; exit 3"]));
        let message = error.unwrap_err().to_string();
        assert!(message.contains("cannot try it") && message.contains("`sh`"), "{message}");
        assert!(message.contains("exit status: 3") && message.contains("why"), "{message}");
    }

    #[test]
    fn a_program_that_talks_a_lot_does_not_block() {
        with_progress("talk", Command::new("sh").args(["-c", "head -c 1000000 /dev/zero | tr '\\0' '\\n'"]))
            .unwrap();
    }
}
