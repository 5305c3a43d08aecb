//! Why the lab could not be built or used.

use std::io;

use crate::sandbox::SandboxError;

/// Why a step of the lab failed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file, socket or process could not be used.
    #[error("{what}: {cause}")]
    Io {
        /// The step, with the path or name it was about.
        what: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A command of the lab failed.
    #[error("`{command}` ended with {status}: {said}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it said on standard error, trimmed.
        said: String,
    },
    /// Something did not happen in its time.
    #[error("{what} within {limit_ms} ms; {detail}")]
    TimedOut {
        /// What did not happen.
        what: String,
        /// The limit, in milliseconds.
        limit_ms: u128,
        /// What was seen instead.
        detail: String,
    },
    /// An answer has another shape than the lab knows.
    #[error("{what}: expected {expected}, got {seen}")]
    Unexpected {
        /// What answered.
        what: String,
        /// What was expected.
        expected: String,
        /// What came.
        seen: String,
    },
    /// A network namespace could not be entered.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl LabError {
    /// Turns the I/O error of the step `what` into a lab error, for `map_err`.
    pub fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause: cause.into() }
    }
}
