//! The connection of a follower, on a thread of its own.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plexus_cni::wire::{self, Reply};
use plexus_cni::{CniError, Code};

/// A client that does not take anything for so long is dropped.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// Bytes that are gathered before they are written.
const GATHERED_MAX: usize = 256 << 10;

/// What is on its way to plexusctl.
pub(super) struct Stream {
    socket: UnixStream,
    gathered: Vec<u8>,
}

impl Stream {
    pub(super) fn new(socket: UnixStream) -> Result<Self, CniError> {
        let prepare = socket.set_nonblocking(false).and_then(|()| socket.set_write_timeout(Some(WRITE_WAIT)));
        prepare.map_err(|error| lost(&error))?;
        Ok(Self { socket, gathered: Vec::new() })
    }

    /// Adds a message, and writes when enough has been gathered.
    pub(super) fn add(&mut self, reply: &Reply) -> Result<(), CniError> {
        self.gathered.extend(wire::encode(reply)?);
        if self.gathered.len() >= GATHERED_MAX { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> Result<(), CniError> {
        let written = self.socket.write_all(&self.gathered);
        self.gathered.clear();
        written.map_err(|error| lost(&error))
    }

    /// Whether the other side has said that it wants no more, or is gone. It has nothing else to say.
    pub(super) fn is_over(&self) -> bool {
        let mut poll_fd = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut poll_fd, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}

fn lost(error: &std::io::Error) -> CniError {
    CniError::new(Code::Io, "the connection is lost").because(error.to_string())
}
