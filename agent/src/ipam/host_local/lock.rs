//! The lock that every user of a directory of reservations takes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use plexus_cni::{CniError, Code};

/// Name of the file, as the reference plugin names it; it locks it with `flock(2)` too.
pub(super) const LOCK_FILE: &str = "lock";
/// Pauses between two tries; the lock is usually held for well under a millisecond.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// Holds the lock until dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its drop, which unlocks")] Flock<OwnedFd>);

impl Lock {
    /// Takes the lock of the directory `dir`; after `wait` without it the error has code 11.
    pub(super) fn take(dir: impl AsFd, path: &Path, wait: Duration) -> Result<Self, CniError> {
        let fail = |errno: Errno| {
            CniError::new(Code::State, format!("{} cannot be locked", path.join(LOCK_FILE).display()))
                .because(errno.to_string())
        };
        let flags =
            OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let mut file = openat(dir, LOCK_FILE, flags, Mode::from_bits_truncate(0o750)).map_err(fail)?;
        let give_up_at = Instant::now() + wait;
        let mut pause = PAUSE_MIN;
        // Ends at give_up_at: flock(2) itself knows no deadline, and a signal would hit the whole agent.
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self(lock)),
                Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
                Err((_, errno)) => return Err(fail(errno)),
            };
            if Instant::now() >= give_up_at {
                return Err(CniError::new(
                    Code::TryAgain,
                    format!("{} is locked by another process", path.join(LOCK_FILE).display()),
                )
                .because(format!(
                    "waited {} ms; `fuser` on that file names who holds it",
                    wait.as_millis()
                )));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
