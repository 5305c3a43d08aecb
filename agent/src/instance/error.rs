//! Why the metadata service did not help.

use plexus_cni::{CniError, Code};

/// What went wrong, and on which path of the service.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Its address is no `http://host[:port]`.
    #[error("{0} is no address of a metadata service; it must be http://HOST or http://HOST:PORT")]
    Address(String),
    /// Nobody listens, or the connection broke.
    #[error("{0} does not answer: {1}")]
    Connection(String, String),
    /// It took too long.
    #[error("{0} did not answer within {1} ms")]
    Deadline(String, u128),
    /// It refused a request.
    #[error("{path} was answered with HTTP status {status}")]
    Status {
        /// The path.
        path: String,
        /// The status.
        status: u16,
    },
    /// It said something that is not understood.
    #[error("{path} was answered with {answer:?}, which is not {expected}")]
    Answer {
        /// The path.
        path: String,
        /// The beginning of the answer.
        answer: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl From<InstanceError> for CniError {
    fn from(error: InstanceError) -> Self {
        CniError::new(Code::TryAgain, "the instance metadata service cannot be asked").because(format!(
            "{error}; see that it is on (IMDSv2), that its hop limit lets the node's agent reach it, and \
             --instance-metadata"
        ))
    }
}
