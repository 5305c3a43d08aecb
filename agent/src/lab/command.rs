//! Commands with a limit: input, output and time are bounded, and nothing is left running.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::LabError;

/// After this a command of the lab is killed, in milliseconds.
pub const COMMAND_DEADLINE_MS: u64 = 120_000;
/// Output kept of one command, in bytes; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 32 << 20;

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; a signal is 128 and its number, as in a shell.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
    /// From before its start to after its end.
    pub elapsed: Duration,
}

/// Runs a command without input; another exit code than 0 is an error that repeats its standard error.
pub fn run(command: &mut Command) -> Result<Finished, LabError> {
    let shown = shown(command);
    let finished = run_with_input(command, b"", Duration::from_millis(COMMAND_DEADLINE_MS))?;
    if finished.code == 0 {
        return Ok(finished);
    }
    Err(LabError::Command {
        command: shown,
        status: finished.code.to_string(),
        said: format!("{}{}", finished.stderr.trim(), finished.stdout.trim()),
    })
}

/// Runs a command with `input` on its standard input, whatever its exit code; at `deadline` it is killed.
pub fn run_with_input(command: &mut Command, input: &[u8], deadline: Duration) -> Result<Finished, LabError> {
    let shown = shown(command);
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::io(format!("start `{shown}`")))?;
    let mut outputs = [Vec::new(), Vec::new()];
    if let Err(error) = converse(&mut child, input, started + deadline, &mut outputs) {
        // Already failing: that the child may have ended by itself is no news.
        child.kill().ok();
        child.wait().ok();
        return Err(error.into_lab_error(&shown, deadline));
    }
    let status = child.wait().map_err(LabError::io(format!("wait for `{shown}`")))?;
    let elapsed = started.elapsed();
    let code = status.code().or_else(|| signal(status).map(|number| 128 + number)).unwrap_or(-1);
    let [stdout, stderr] = outputs.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Finished { code, stdout, stderr, elapsed })
}

fn signal(status: std::process::ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Why the conversation with a child ended early.
enum Interrupted {
    Late,
    Io(std::io::Error),
}

impl Interrupted {
    fn into_lab_error(self, command: &str, deadline: Duration) -> LabError {
        match self {
            Self::Late => LabError::TimedOut {
                what: format!("`{command}` did not end"),
                limit_ms: deadline.as_millis(),
                detail: "it was killed".into(),
            },
            Self::Io(cause) => LabError::Io { what: format!("talk to `{command}`"), cause },
        }
    }
}

impl<E: Into<std::io::Error>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Io(error.into())
    }
}

/// Writes the input and reads both outputs until the child closes them.
fn converse(
    child: &mut Child,
    input: &[u8],
    deadline: Instant,
    outputs: &mut [Vec<u8>; 2],
) -> Result<(), Interrupted> {
    let mut stdin = child.stdin.take().filter(|_| !input.is_empty());
    if let Some(pipe) = &stdin {
        // A blocked write would keep us from reading what the child prints meanwhile.
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let mut written = 0;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    while stdout.is_some() || stderr.is_some() {
        let left = deadline.checked_duration_since(Instant::now()).ok_or(Interrupted::Late)?;
        let mut waiting = Vec::with_capacity(3);
        waiting.extend(stdout.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        waiting.extend(stderr.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        waiting.extend(stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
        let mut ready = waiting.iter().map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>().into_iter();
        drain(&mut stdout, &mut ready, &mut outputs[0])?;
        drain(&mut stderr, &mut ready, &mut outputs[1])?;
        if ready.next() == Some(true) && feed(stdin.as_mut(), &input[written..], &mut written)? {
            stdin = None;
        }
    }
    Ok(())
}

/// Reads once from a pipe that is ready; at its end the pipe is closed.
fn drain<P: Read>(
    pipe: &mut Option<P>,
    ready: &mut impl Iterator<Item = bool>,
    output: &mut Vec<u8>,
) -> Result<(), Interrupted> {
    let Some(open) = pipe else { return Ok(()) };
    if ready.next() != Some(true) {
        return Ok(());
    }
    let mut chunk = [0; 16 << 10];
    let length = open.read(&mut chunk)?;
    if length == 0 {
        *pipe = None;
    } else if output.len() + length <= OUTPUT_BYTES_MAX {
        output.extend_from_slice(&chunk[..length]);
    }
    Ok(())
}

/// Writes once; true when all is written or the child does not want more.
fn feed(pipe: Option<&mut impl Write>, rest: &[u8], written: &mut usize) -> Result<bool, Interrupted> {
    let Some(pipe) = pipe else { return Ok(true) };
    match pipe.write(rest) {
        Ok(length) => {
            *written += length;
            Ok(length == rest.len())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error.into()),
    }
}
