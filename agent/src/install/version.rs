//! Whether a shim runs on this node: it is asked for its versions before it takes its place.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// How long the answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at the process.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How often a file is started that another process holds open for writing: between its fork and exec.
const BUSY_TRIES_MAX: u32 = 100;
/// Longest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    supported_versions: Vec<String>,
}

/// The CNI versions that the program at `path` speaks.
pub(super) fn ask(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut child = start(path)?;
    let text = wait(&mut child);
    if text.is_err() {
        // It may have ended by itself meanwhile.
        child.kill().unwrap_or_default();
        child.wait().map(drop).unwrap_or_default();
    }
    let answer: Answer =
        serde_json::from_str(&text?).context("its answer to VERSION is not that of a CNI plugin")?;
    Ok(answer.supported_versions)
}

fn start(path: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(path);
    command.env_clear().env("CNI_COMMAND", "VERSION");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for _ in 0..BUSY_TRIES_MAX {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(nix::Error::ETXTBSY as i32) => {
                std::thread::sleep(LOOK_PAUSE);
            }
            other => return other.context("it cannot be executed there; is the directory mounted noexec?"),
        }
    }
    bail!("another process is writing to it")
}

fn wait(child: &mut Child) -> anyhow::Result<String> {
    let give_up_at = Instant::now() + ANSWER_WAIT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= give_up_at => {
                bail!("it did not answer within {} s", ANSWER_WAIT.as_secs())
            }
            None => std::thread::sleep(LOOK_PAUSE),
        }
    };
    if !status.success() {
        bail!("it ended with {status}");
    }
    let mut text = String::new();
    child.stdout.take().context("it has no output")?.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
