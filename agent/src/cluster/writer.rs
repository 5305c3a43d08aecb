//! What is written to the source: network-status on pods, and events.

use std::time::{Instant, SystemTime};

use super::ApiError;

/// One pod, and no other one of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID in the API server; where it is empty the runtime named none.
    pub uid: String,
}

/// An event of a pod, as it stands in the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The event's own name.
    pub name: String,
    /// What it is about.
    pub pod: PodKey,
    /// Whether somebody should look into it.
    pub is_warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// What happened, for people.
    pub message: String,
    /// How often.
    pub count: u32,
    /// When it happened first.
    pub first: SystemTime,
    /// When it happened last.
    pub last: SystemTime,
}

/// Writes to the source; each call is one attempt.
pub trait Writer: Send + Sync {
    /// Sets one annotation of the pod, by its status, provided that it still has this UID.
    fn annotate(&self, pod: &PodKey, key: &str, text: &str, deadline: Instant) -> Result<(), ApiError>;

    /// The UID of the pod that has this name now, if there is one.
    fn uid_now(&self, pod: &PodKey, deadline: Instant) -> Result<Option<String>, ApiError>;

    /// Makes an event.
    fn create_event(&self, event: &PodEvent, deadline: Instant) -> Result<(), ApiError>;

    /// Sets count and last time of an event that was made before.
    fn repeat_event(&self, event: &PodEvent, deadline: Instant) -> Result<(), ApiError>;
}
