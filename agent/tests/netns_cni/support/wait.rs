//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// Longest wait, in seconds; only a test that fails gets there.
const LIMIT_S: u64 = 60;

/// Looks every few milliseconds until `found` gives something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(LIMIT_S);
    while Instant::now() < deadline {
        if let Some(value) = found() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within {LIMIT_S} s");
}
