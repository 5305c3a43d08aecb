//! Points at which a test may end plexusd by SIGKILL.
//!
//! With the feature `fault-injection` and `PLEXUS_FAULT_AFTER=N` in the environment, the N-th point that an ADD passes
//! kills the process; without the feature nothing of this is compiled in.

#[cfg(feature = "fault-injection")]
mod armed {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use nix::sys::signal::{Signal, raise};

    thread_local! {
        /// Points passed by the ADD that this thread serves; `None` outside of one.
        static PASSED: Cell<Option<u64>> = const { Cell::new(None) };
    }

    fn limit() -> Option<u64> {
        static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
        *LIMIT.get_or_init(|| std::env::var("PLEXUS_FAULT_AFTER").ok()?.parse().ok())
    }

    pub(super) fn point() {
        let Some(passed) = PASSED.get().map(|passed| passed + 1) else { return };
        PASSED.set(Some(passed));
        if limit() == Some(passed) && raise(Signal::SIGKILL).is_err() {
            std::process::abort();
        }
    }

    pub(super) fn during<T>(work: impl FnOnce() -> T) -> T {
        PASSED.set(Some(0));
        let outcome = work();
        PASSED.set(None);
        outcome
    }
}

/// A step was done.
#[inline]
pub fn point() {
    #[cfg(feature = "fault-injection")]
    armed::point();
}

/// Runs `work` with its points counted.
#[inline]
pub fn during<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(feature = "fault-injection")]
    return armed::during(work);
    #[cfg(not(feature = "fault-injection"))]
    work()
}
