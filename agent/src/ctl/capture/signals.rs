//! Ctrl-C as something that can be waited for beside the socket.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// SIGINT and SIGTERM, held back from ending the process.
pub(super) struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    pub(super) fn hold() -> anyhow::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().context("cannot hold signals back")?;
        let descriptor = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        Ok(Self { descriptor: descriptor.context("cannot wait for signals")? })
    }

    /// Whether one came.
    pub(super) fn came(&mut self) -> anyhow::Result<bool> {
        Ok(self.descriptor.read_signal().context("cannot read signals")?.is_some())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
