//! Watches a guest from outside, and ends one that hangs.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::lines::{Line, Progress};
use crate::paths::Workspace;
use crate::vm::{self, Guest};

/// A guest that says nothing for so long hangs: it gives a sign of life every half minute, also in a long test.
const SILENCE_MAX: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(100);
/// Lines of the console that a failure repeats.
const CONSOLE_LINES: usize = 60;

/// Boots a guest and passes its lines to `take` until it ends or is ended; the inner error says how it failed.
pub(super) fn boot(
    workspace: &Workspace,
    guest: &Guest<'_>,
    progress: &mut Progress,
    take: &mut impl FnMut(Line),
) -> Result<Result<(), String>> {
    let mut child = guest.start(workspace)?;
    let followed = follow(&mut child, &guest.console(), SILENCE_MAX, progress, take);
    if followed.is_err() {
        end(&mut child)?;
    }
    followed
}

fn follow(
    child: &mut Child,
    console: &Path,
    silence_max: Duration,
    progress: &mut Progress,
    take: &mut impl FnMut(Line),
) -> Result<Result<(), String>> {
    let console_size = || fs::metadata(console).map_or(0, |metadata| metadata.len());
    let mut heard = (Instant::now(), 0);
    loop {
        // In this order: what a guest wrote before it ended is read after.
        let ended = child.try_wait().context("cannot wait for QEMU")?;
        let lines = progress.next_lines()?;
        let size = console_size();
        if !lines.is_empty() || size != heard.1 {
            heard = (Instant::now(), size);
        }
        lines.into_iter().for_each(&mut *take);
        match ended {
            Some(status) if vm::is_well(status) => return Ok(Ok(())),
            Some(status) => return Ok(Err(format!("the guest died, QEMU ended with {status}"))),
            None if heard.0.elapsed() > silence_max => {
                end(child)?;
                let seconds = silence_max.as_secs();
                return Ok(Err(format!("the guest was silent for {seconds} s and was ended")));
            }
            None => thread::sleep(POLL),
        }
    }
}

fn end(child: &mut Child) -> Result<()> {
    child.kill().and_then(|()| child.wait()).context("cannot end QEMU").map(drop)
}

/// The console's last lines. The file is kept under a name of its own, because the next guest writes a new one.
pub(super) fn console_tail(guest: &Guest<'_>, boot: usize) -> Result<String> {
    let console = guest.console();
    let text = fs::read(&console).with_context(|| format!("cannot read {}", console.display()))?;
    let kept = console.with_file_name(format!("console-{boot}.log"));
    fs::rename(&console, &kept).with_context(|| format!("cannot keep {}", console.display()))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n    ");
    Ok(format!("its console is in {}\n    {tail}", kept.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Follows a shell that stands in for QEMU, with `$R` the file of results and `$C` the console.
    fn followed(name: &str, script: &str, silence_max: Duration) -> (Result<(), String>, Vec<Line>) {
        let directory = std::env::temp_dir().join(format!("plexus-watch-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let console = directory.join("console.log");
        let mut progress = Progress::new(&directory).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("R", directory.join("results.jsonl")).env("C", &console);
        let mut child = shell.spawn().unwrap();
        let mut lines = Vec::new();
        let ended =
            follow(&mut child, &console, silence_max, &mut progress, &mut |line| lines.push(line)).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        (ended, lines)
    }

    #[test]
    fn a_guest_that_ends_well_is_heard_to_its_last_line() {
        let script = "echo '{\"started\":{\"case\":0}}' >> $R; exit 3";
        let (ended, lines) = followed("well", script, SILENCE_MAX);
        assert_eq!((ended, lines), (Ok(()), vec![Line::Started { case: 0 }]));
    }

    #[test]
    fn a_guest_that_ends_as_if_all_were_well_has_died() {
        let (ended, _) = followed("died", "exit 0", SILENCE_MAX);
        assert!(ended.unwrap_err().contains("died"));
    }

    #[test]
    fn a_silent_guest_is_ended() {
        let (ended, lines) = followed("silent", "exec sleep 60", Duration::from_millis(300));
        assert!(ended.unwrap_err().contains("silent"));
        assert!(lines.is_empty());
    }
}
