//! A point in time that nothing waits beyond.

use std::time::{Duration, Instant};

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline `milliseconds` from now.
    pub(crate) fn in_ms(milliseconds: u64) -> Self {
        Self(Instant::now() + Duration::from_millis(milliseconds))
    }

    /// The time that is left; `None` once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// The time that is left, in milliseconds, rounded up so that a wait of it does end after the deadline.
    pub(crate) fn left_ms(self) -> u64 {
        self.left().map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// Sleeps for `pause_ms` or until the deadline; whether the deadline is still ahead.
    pub(crate) fn pause(self, pause_ms: u64) -> bool {
        let Some(left) = self.left() else { return false };
        std::thread::sleep(left.min(Duration::from_millis(pause_ms)));
        self.left().is_some()
    }
}
