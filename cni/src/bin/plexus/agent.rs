//! The connection to the agent: frames, descriptors and deadlines.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde::Serialize;

use plexus_cni::wire::{Call, HEADER_BYTES, Reply, body_length, decode, encode};
use plexus_cni::{CniError, Code};

use crate::deadline::Deadline;

/// Why the agent did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// Nobody listens.
    #[error("plexusd is not there: {0}")]
    Absent(std::io::Error),
    /// It went away in the middle.
    #[error("plexusd closed the connection: {0}")]
    Closed(std::io::Error),
    /// It is there but does not answer.
    #[error("plexusd did not answer in time")]
    TimedOut,
    /// The socket cannot be used at all.
    #[error("the socket cannot be used: {0}")]
    Unusable(std::io::Error),
    /// It sent something that is no reply.
    #[error(transparent)]
    Frame(#[from] CniError),
}

/// A connection.
pub(crate) struct Agent {
    stream: UnixStream,
    deadline: Deadline,
}

impl Agent {
    /// Connects to the socket at `path`, waiting at most `connect_ms` where the agent's backlog is full.
    pub(crate) fn connect(path: &str, connect_ms: u64, deadline: Deadline) -> Result<Self, AgentError> {
        let unusable = |error: nix::Error| AgentError::Unusable(error.into());
        let address = UnixAddr::new(path).map_err(unusable)?;
        let fd =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(unusable)?;
        // A blocking connect to a unix socket waits for SO_SNDTIMEO; zero would be for ever.
        let wait = TimeVal::milliseconds(i64::try_from(connect_ms.max(1)).unwrap_or(i64::MAX));
        setsockopt(&fd, sockopt::SendTimeout, &wait).map_err(unusable)?;
        connect(fd.as_raw_fd(), &address).map_err(|error| match error {
            nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ECONNREFUSED => {
                AgentError::Absent(error.into())
            }
            nix::Error::EAGAIN | nix::Error::EINTR => AgentError::TimedOut,
            error => unusable(error),
        })?;
        Ok(Self { stream: UnixStream::from(fd), deadline })
    }

    /// Sends the call; the descriptors travel with its first byte.
    pub(crate) fn send_call(&mut self, call: &Call, fds: &[OwnedFd]) -> Result<(), AgentError> {
        let frame = encode(call)?;
        let raw: Vec<RawFd> = fds.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        self.limit()?;
        let sent = sendmsg::<UnixAddr>(
            self.stream.as_raw_fd(),
            &[IoSlice::new(&frame)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(|error| ended(error.into()))?;
        self.write(&frame[sent..])
    }

    /// Sends what became of the agent's request.
    pub(crate) fn send_outcome(&mut self, outcome: &impl Serialize) -> Result<(), AgentError> {
        self.write(&encode(outcome)?)
    }

    /// Waits for the next reply.
    pub(crate) fn receive(&mut self) -> Result<Reply, AgentError> {
        let mut header = [0; HEADER_BYTES];
        self.fill(&mut header)?;
        let mut body = vec![0; body_length(header)?];
        self.fill(&mut body)?;
        Ok(decode(&body)?)
    }

    /// The time that the call has left, in milliseconds.
    pub(crate) fn left_ms(&self) -> u64 {
        self.deadline.left_ms()
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), AgentError> {
        while !bytes.is_empty() {
            self.limit()?;
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ended(error)),
            }
        }
        Ok(())
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), AgentError> {
        while !buffer.is_empty() {
            self.limit()?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(AgentError::Closed(ErrorKind::UnexpectedEof.into())),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ended(error)),
            }
        }
        Ok(())
    }

    /// Lets the next system call wait until the deadline at most.
    fn limit(&self) -> Result<(), AgentError> {
        let left = self.deadline.left().ok_or(AgentError::TimedOut)?;
        self.stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.set_write_timeout(Some(left)))
            .map_err(AgentError::Unusable)
    }
}

fn ended(error: std::io::Error) -> AgentError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AgentError::TimedOut,
        _ => AgentError::Closed(error),
    }
}

impl AgentError {
    /// Whether the agent may be (re)starting, so that asking again soon can help.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::Closed(_))
    }

    /// The error with which the call ends; `code` is for an agent that is not there.
    pub(crate) fn explain(self, socket: &str, code: Code) -> CniError {
        let what = format!("no answer from plexusd on {socket}");
        match self {
            Self::Frame(error) => error.within("conversation with plexusd"),
            Self::Unusable(error) => CniError::new(Code::Io, what)
                .because(format!("{error}; the shim must run as root and the socket's path must be right")),
            passing => CniError::new(code, what)
                .because(format!("{passing}; is plexusd running on this node? The call can be repeated")),
        }
    }
}
