//! Writing one pod's network-status: attempt after attempt, and what its failure means.

use std::time::{Duration, Instant};

use plexus_cni::annotation::NETWORK_STATUS;

use crate::cluster::{ApiError, ApiErrorKind, PodKey, Writer};

/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Pause before another attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Attempts that find nobody before it is left to the background.
const UNREACHED_MAX: u32 = 2;
/// Attempts in all.
const ATTEMPTS_MAX: u32 = 8;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there.
    Written,
    /// Not now; it may be later, without anybody changing the pod.
    Later(ApiError),
    /// The pod is gone, or is another one.
    PodGone,
    /// It will not be: the API server refuses the text itself.
    Refused(ApiError),
}

/// Writes, at most until `deadline`.
pub(super) fn write(writer: &dyn Writer, pod: &PodKey, text: &str, deadline: Instant) -> Outcome {
    let mut pause = FIRST_PAUSE;
    let (mut attempts, mut unreached) = (0, 0);
    loop {
        let Err(error) = writer.annotate(pod, NETWORK_STATUS, text, soon(deadline)) else {
            return Outcome::Written;
        };
        attempts += 1;
        match error.kind {
            ApiErrorKind::NotFound => return Outcome::PodGone,
            ApiErrorKind::Expired | ApiErrorKind::Other => return Outcome::Refused(error),
            ApiErrorKind::Denied => return Outcome::Later(error),
            ApiErrorKind::Unreachable | ApiErrorKind::Unauthorized => unreached += 1,
            ApiErrorKind::Busy => {}
            // Another UID is answered by either, depending on the release; so are other things.
            ApiErrorKind::Conflict | ApiErrorKind::Invalid => match writer.uid_now(pod, soon(deadline)) {
                Ok(uid) if uid.as_deref() != Some(&*pod.uid) => return Outcome::PodGone,
                Ok(_) if error.kind == ApiErrorKind::Invalid => return Outcome::Refused(error),
                Ok(_) => {}
                Err(error) => return Outcome::Later(error),
            },
        }
        let is_enough = unreached >= UNREACHED_MAX || attempts >= ATTEMPTS_MAX;
        if is_enough || Instant::now() + pause >= deadline {
            return Outcome::Later(error);
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

/// The end of one attempt.
fn soon(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + ATTEMPT)
}
