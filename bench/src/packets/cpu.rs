//! CPU time of the thread that makes the packets.
//!
//! On its CPU everything else of a packet's way runs in soft interrupts of that same thread, and the kernel charges it with
//! them, unless it counts interrupt time apart (CONFIG_IRQ_TIME_ACCOUNTING) or ksoftirqd takes over: then this is too low.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// What the calling thread has used so far.
pub(crate) fn of_thread() -> Result<Duration> {
    let time =
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("cannot read the thread's CPU time")?;
    Ok(Duration::from(time))
}
