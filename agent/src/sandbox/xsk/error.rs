//! Why AF_XDP does not work here.

use std::io;

use nix::errno::Errno;
use xdp::socket::SocketError;

use super::open::XSK_FRAME_BYTES_MAX;
use super::receiver::XSK_QUEUES_MAX;

/// What AF_XDP was refused for.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// No device of this name in the thread's network namespace.
    #[error("there is no device {0}")]
    NoDevice(String),
    /// The kernel makes no such socket.
    #[error("the kernel makes no AF_XDP socket: {0}; {advice}", advice = advice_for_socket(.0))]
    Socket(io::Error),
    /// Memory and rings cannot be shared with the kernel.
    #[error(
        "the kernel shares no memory with an AF_XDP socket: {0}; it counts as locked memory: `ulimit -l`"
    )]
    Memory(io::Error),
    /// The device's queue takes no socket.
    #[error("queue {queue} of {device} takes no AF_XDP socket: {source}; {advice}", advice = advice_for_queue(.source))]
    Queue {
        /// The device.
        device: String,
        /// Counted from 0.
        queue: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// More receive queues than sockets.
    #[error(
        "{0} has more than {XSK_QUEUES_MAX} receive queues: make them fewer by `ethtool -L {0} combined {XSK_QUEUES_MAX}`"
    )]
    TooManyQueues(String),
    /// Longer than a piece of the shared memory.
    #[error("a frame has {0} bytes without FCS; AF_XDP takes at most {XSK_FRAME_BYTES_MAX} here")]
    TooLong(usize),
    /// A socket that worked does not any more.
    #[error("the AF_XDP socket on {device} failed: {source}; is the device still up?")]
    Failed {
        /// The device.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl XskError {
    /// What a step before the binding was refused for.
    pub(super) fn of_setup(error: SocketError) -> Self {
        match error {
            SocketError::SocketCreation(source) => Self::Socket(source),
            SocketError::SetSockOpt { inner, .. }
            | SocketError::GetSockOpt { inner, .. }
            | SocketError::RingMap { inner, .. }
            | SocketError::Bind(inner) => Self::Memory(inner),
        }
    }

    /// What `queue` of `device` was refused for.
    pub(super) fn of_bind(device: &str, queue: u32, error: SocketError) -> Self {
        match error {
            SocketError::Bind(source) => Self::Queue { device: device.to_owned(), queue, source },
            other => Self::of_setup(other),
        }
    }

    /// Whether a queue was refused with this number.
    pub(super) fn is_queue_refused_with(&self, errno: Errno) -> bool {
        matches!(self, Self::Queue { source, .. } if source.raw_os_error() == Some(errno as i32))
    }
}

fn advice_for_socket(error: &io::Error) -> &'static str {
    match errno(error) {
        Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT => {
            "it has no AF_XDP (CONFIG_XDP_SOCKETS): take af-packet"
        }
        Errno::EPERM | Errno::EACCES => "CAP_NET_RAW is needed",
        _ => "take af-packet",
    }
}

fn advice_for_queue(error: &io::Error) -> &'static str {
    match errno(error) {
        Errno::EBUSY => "another AF_XDP socket holds it",
        Errno::EINVAL => "the device has no such queue, or no room for frames of this memory: take af-packet",
        Errno::EOPNOTSUPP => "the driver cannot: take af-packet",
        Errno::ENETDOWN => "the device is down",
        Errno::EPERM | Errno::EACCES => "CAP_NET_RAW is needed",
        _ => "take af-packet",
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno as i32)
    }

    #[test]
    fn a_refusal_says_what_was_refused_and_what_to_do() {
        let queue = |errno| XskError::of_bind("eth7", 3, SocketError::Bind(os(errno))).to_string();
        for (message, parts) in [
            (
                XskError::of_setup(SocketError::SocketCreation(os(Errno::EAFNOSUPPORT))).to_string(),
                ["CONFIG_XDP_SOCKETS", "af-packet"],
            ),
            (
                XskError::of_setup(SocketError::SocketCreation(os(Errno::EPERM))).to_string(),
                ["AF_XDP", "CAP_NET_RAW"],
            ),
            (queue(Errno::EBUSY), ["queue 3 of eth7", "another AF_XDP socket"]),
            (queue(Errno::EOPNOTSUPP), ["queue 3 of eth7", "the driver cannot"]),
            (queue(Errno::EINVAL), ["queue 3 of eth7", "no such queue"]),
            (
                XskError::TooManyQueues("eth7".into()).to_string(),
                ["more than 16", "ethtool -L eth7 combined 16"],
            ),
        ] {
            for part in parts {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn only_a_refused_queue_counts_as_one() {
        assert!(
            XskError::of_bind("a", 0, SocketError::Bind(os(Errno::EBUSY)))
                .is_queue_refused_with(Errno::EBUSY)
        );
        assert!(
            !XskError::of_bind("a", 0, SocketError::Bind(os(Errno::EINVAL)))
                .is_queue_refused_with(Errno::EBUSY)
        );
        assert!(!XskError::Memory(os(Errno::EBUSY)).is_queue_refused_with(Errno::EBUSY));
    }
}
