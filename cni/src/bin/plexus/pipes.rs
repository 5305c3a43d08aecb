//! Feeding a plugin and reading what it says, all at once, so that neither side can block the other.

use std::io::{ErrorKind, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use plexus_cni::limits::{DELEGATE_STDERR_BYTES_MAX, DELEGATE_STDOUT_BYTES_MAX};

use crate::deadline::Deadline;

/// How often a plugin whose pipes stay open is looked at, in milliseconds.
const GLANCE_MS: u64 = 50;
/// The first pause for a plugin that has closed its pipes and is about to end, in microseconds; doubled each time.
const ENDING_PAUSE_US: u64 = 50;
/// How long a killed plugin may take to disappear, in milliseconds.
const REAP_MS: u64 = 2_000;

/// How the plugin ended, as seen from here.
pub(crate) enum PipesEnd {
    /// It ended by itself.
    Ended(ExitStatus),
    /// It was still running at the deadline.
    TimedOut,
    /// It printed more than allowed.
    TooMuchOutput,
}

/// What a plugin said.
#[derive(Default)]
pub(crate) struct Said {
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// The beginning of standard error.
    pub(crate) stderr: Vec<u8>,
}

/// Writes `input` to the plugin and reads it until it ends, talks too much, or the deadline passes.
pub(crate) fn run(child: &mut Child, input: &[u8], deadline: Deadline) -> std::io::Result<(PipesEnd, Said)> {
    let mut said = Said::default();
    let mut stdin = child.stdin.take().map(|pipe| Feed { pipe, rest: input });
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let pipes = [
        stdin.as_ref().map(|feed| feed.pipe.as_fd()),
        stdout.as_ref().map(AsFd::as_fd),
        stderr.as_ref().map(AsFd::as_fd),
    ];
    pipes.into_iter().flatten().try_for_each(set_nonblocking)?;
    let mut ending_pause_us = ENDING_PAUSE_US;
    loop {
        // Looked at before reading: whatever an ended plugin wrote is then still in the pipes.
        let ended = child.try_wait()?;
        stdin = stdin.and_then(Feed::push);
        stdout = drain(stdout, &mut said.stdout, DELEGATE_STDOUT_BYTES_MAX + 1)?;
        stderr = drain(stderr, &mut said.stderr, DELEGATE_STDERR_BYTES_MAX)?;
        if said.stdout.len() > DELEGATE_STDOUT_BYTES_MAX {
            said.stdout.truncate(DELEGATE_STDOUT_BYTES_MAX);
            return Ok((PipesEnd::TooMuchOutput, said));
        }
        if let Some(status) = ended {
            return Ok((PipesEnd::Ended(status), said));
        }
        if deadline.left().is_none() {
            return Ok((PipesEnd::TimedOut, said));
        }
        if stdout.is_none() && stderr.is_none() {
            std::thread::sleep(Duration::from_micros(ending_pause_us));
            ending_pause_us = (ending_pause_us * 2).min(GLANCE_MS * 1000);
            continue;
        }
        let mut waits: Vec<PollFd<'_>> = Vec::with_capacity(3);
        waits.extend(stdin.as_ref().map(|feed| PollFd::new(feed.pipe.as_fd(), PollFlags::POLLOUT)));
        waits.extend(stdout.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        waits.extend(stderr.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        let timeout = PollTimeout::try_from(deadline.left_ms().min(GLANCE_MS)).unwrap_or(PollTimeout::ZERO);
        let waited = poll(&mut waits, timeout);
        if let Err(error) = waited
            && error != nix::Error::EINTR
        {
            return Err(error.into());
        }
    }
}

/// Waits for a plugin that was killed.
pub(crate) fn reap(child: &mut Child) {
    let deadline = Deadline::in_ms(REAP_MS);
    while matches!(child.try_wait(), Ok(None)) && deadline.pause(1) {}
}

/// A plugin's stdin and what it has not read yet.
struct Feed<'a> {
    pipe: ChildStdin,
    rest: &'a [u8],
}

impl Feed<'_> {
    /// Writes what fits; `None`, and with it the end of file, once all is written or nobody reads.
    fn push(mut self) -> Option<Self> {
        while !self.rest.is_empty() {
            match self.pipe.write(self.rest) {
                Ok(count) => self.rest = &self.rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(self),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// Reads what is there, keeping `keep_max` bytes; `None` at the end of file.
fn drain<R: Read>(pipe: Option<R>, kept: &mut Vec<u8>, keep_max: usize) -> std::io::Result<Option<R>> {
    /// Chunks read before the other pipes have their turn.
    const CHUNKS_MAX: usize = 64;
    let Some(mut pipe) = pipe else { return Ok(None) };
    let mut chunk = [0; 16 << 10];
    for _ in 0..CHUNKS_MAX {
        match pipe.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(count) => kept.extend_from_slice(&chunk[..count.min(keep_max - kept.len())]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(pipe))
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> std::io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
