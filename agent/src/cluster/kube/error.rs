//! What the API server, or the way to it, said no to.

use std::error::Error as StdError;
use std::fmt::Write as _;

use plexus_cni::{CniError, Code};

/// Deepest chain of causes that is written out.
const CAUSES_MAX: usize = 8;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} {resource}: {why}")]
pub struct ApiError {
    /// What is to be done about it.
    pub kind: ApiErrorKind,
    /// What was tried.
    pub verb: &'static str,
    /// On what.
    pub resource: &'static str,
    /// The HTTP status, 0 where none came.
    pub status: u16,
    /// The reason, for people.
    pub why: String,
}

/// What is to be done about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// No answer: no connection, a broken one, or too late.
    Unreachable,
    /// 401: the credentials are not accepted (any more).
    Unauthorized,
    /// 403: the role lacks a rule.
    Denied,
    /// 404
    NotFound,
    /// 409: it has changed, or is there already.
    Conflict,
    /// 410: the version to go on from is too old.
    Expired,
    /// 422: the object cannot be like that.
    Invalid,
    /// 429 or 5xx: the same call may succeed later.
    Busy,
    /// Anything else, an answer that cannot be read included.
    Other,
}

impl ApiErrorKind {
    fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Denied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            410 => Self::Expired,
            422 => Self::Invalid,
            429 | 500..=599 => Self::Busy,
            _ => Self::Other,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Unauthorized)
    }
}

impl ApiError {
    /// An answer of the API server.
    pub(super) fn of_status(verb: &'static str, resource: &'static str, status: &kube::core::Status) -> Self {
        let why = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
        let mut kind = ApiErrorKind::of_status(status.code);
        if status.reason == "Expired" {
            kind = ApiErrorKind::Expired;
        }
        Self { kind, verb, resource, status: status.code, why }
    }

    /// A call that the client library reports as failed.
    pub(super) fn of_client(verb: &'static str, resource: &'static str, error: &kube::Error) -> Self {
        let kind = match error {
            kube::Error::Api(status) => return Self::of_status(verb, resource, status),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                ApiErrorKind::Unreachable
            }
            kube::Error::Auth(_) => ApiErrorKind::Unauthorized,
            _ => ApiErrorKind::Other,
        };
        Self { kind, verb, resource, status: 0, why: causes(error) }
    }

    /// A call that nobody answered in time.
    pub(super) fn too_late(verb: &'static str, resource: &'static str) -> Self {
        Self::unreachable(verb, resource, "the API server did not answer in time")
    }

    /// A watch that the server ended at once.
    pub(super) fn cut_short(verb: &'static str, resource: &'static str) -> Self {
        Self::unreachable(verb, resource, "the API server ended it at once")
    }

    fn unreachable(verb: &'static str, resource: &'static str, why: &str) -> Self {
        Self { kind: ApiErrorKind::Unreachable, verb, resource, status: 0, why: why.to_owned() }
    }

    /// A list that is no place to watch from.
    pub(super) fn without_version(verb: &'static str, resource: &'static str) -> Self {
        let why = "the answer has no resourceVersion".to_owned();
        Self { kind: ApiErrorKind::Other, verb, resource, status: 200, why }
    }

    /// A list that does not end.
    pub(super) fn endless(verb: &'static str, resource: &'static str) -> Self {
        let why = "it has too many pages".to_owned();
        Self { kind: ApiErrorKind::Other, verb, resource, status: 200, why }
    }

    /// An answer that cannot be read.
    pub(super) fn unreadable(verb: &'static str, resource: &'static str, error: &dyn StdError) -> Self {
        let why = format!("the answer cannot be read: {error}");
        Self { kind: ApiErrorKind::Other, verb, resource, status: 0, why }
    }

    /// What whoever runs the cluster can do.
    pub fn advice(&self) -> &'static str {
        match self.kind {
            ApiErrorKind::Denied => {
                "the ClusterRole of plexusd lacks this rule; deploy/manifests has the whole of it"
            }
            ApiErrorKind::Unauthorized => {
                "the credentials are not accepted; see the service account's token or the kubeconfig"
            }
            ApiErrorKind::Unreachable => "see whether the API server is up and reachable from this node",
            ApiErrorKind::NotFound => "see whether the CustomResourceDefinition is installed",
            _ => "it is tried again",
        }
    }
}

impl From<ApiError> for CniError {
    fn from(error: ApiError) -> Self {
        let code = match error.kind {
            ApiErrorKind::Denied => Code::NotAuthorized,
            kind if kind.is_passing() => Code::TryAgain,
            _ => Code::Internal,
        };
        let details = format!("{}; {}", error.why, error.advice());
        CniError::new(code, format!("cannot {} {} at the API server", error.verb, error.resource))
            .because(details)
    }
}

/// The error and all that it comes from, without repeating what a cause's text holds already.
pub(super) fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(cause) = next else { break };
        let said = cause.to_string();
        if !text.contains(&said) {
            // Writing to a String cannot fail.
            write!(text, ": {said}").unwrap_or_default();
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str) -> kube::core::Status {
        kube::core::Status::failure("pods is forbidden: no", reason).with_code(code)
    }

    #[test]
    fn a_refusal_says_what_the_role_lacks() {
        let error = ApiError::of_status("list", "pods", &status(403, "Forbidden"));
        assert!(error.kind == ApiErrorKind::Denied && !error.kind.is_passing());
        let error = CniError::from(error);
        assert_eq!(error.code, Code::NotAuthorized);
        assert!(error.to_string().contains("pods is forbidden") && error.details.contains("ClusterRole"));
    }

    #[test]
    fn an_expired_version_is_known_by_code_or_reason() {
        for status in [status(410, "Gone"), status(504, "Expired")] {
            assert_eq!(ApiError::of_status("watch", "pods", &status).kind, ApiErrorKind::Expired);
        }
        assert_eq!(ApiError::of_status("get", "pods", &status(503, "x")).kind, ApiErrorKind::Busy);
    }
}
