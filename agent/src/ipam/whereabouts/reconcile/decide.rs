//! Whether something that is held may be given back. Pure: whoever asks has read the pod from the API server itself.
//!
//! ```text
//! recorded on this node, or by Multus ─────────────▶ keep
//! podref is no pod's name, or nobody can say ──────▶ keep
//! no pod of that name, or it has ended ────────────▶ leak, for the leader
//! it lives │ without network-status ───────────────▶ keep
//!          │ its network-status shows the address ─▶ keep
//!          │ on another node ──────────────────────▶ keep: that node's agent knows its containers
//!          └ on this node, no such container here ─▶ leak, for this node
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::hold::Hold;

/// What this node knows of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Attachments of the records.
    pub attachments: BTreeSet<Attached>,
    /// Containers that Multus attached and nobody detached yet.
    pub foreign: BTreeSet<String>,
}

/// An interface of a container of this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attached {
    /// The sandbox.
    pub container_id: String,
    /// `namespace/name` of its pod; empty where the runtime named none.
    pub podref: String,
    /// The interface.
    pub ifname: String,
}

/// The pod of that name, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodNow {
    /// It could not be asked for.
    Unknown,
    /// There is none.
    Gone,
    /// Its containers have ended and will not run again.
    Ended,
    /// It lives, or will.
    Lives {
        /// Tells it from another one of its name.
        uid: String,
        /// Its node; empty before it has one.
        node: String,
        /// Addresses that it shows; `None` while it has no network-status.
        shown: Option<BTreeSet<IpAddr>>,
    },
}

impl PodNow {
    /// The UID of a pod that lives.
    pub fn uid(&self) -> &str {
        if let Self::Lives { uid, .. } = self { uid } else { "" }
    }
}

/// For whom the answer is.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// Name of this node.
    pub node: &'a str,
    /// What this node knows.
    pub known: &'a Known,
    /// Whether this agent looks after pods that are gone, for all nodes.
    pub is_leader: bool,
}

/// Why something is held by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leak {
    /// No pod has that name.
    PodGone,
    /// The pod has ended.
    PodEnded,
    /// The pod lives here, in another container, and does not show the address.
    ContainerGone,
}

impl fmt::Display for Leak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PodGone => "its pod is gone",
            Self::PodEnded => "its pod has ended",
            Self::ContainerGone => "its container is gone and the pod does not show the address",
        })
    }
}

impl Judge<'_> {
    /// The leak, if it is one and this agent's to free.
    pub fn leak(&self, hold: &Hold, pod: &PodNow) -> Option<Leak> {
        if self.is_known(hold) || hold.pod().is_none() {
            return None;
        }
        match pod {
            PodNow::Unknown | PodNow::Lives { shown: None, .. } => None,
            PodNow::Gone => self.is_leader.then_some(Leak::PodGone),
            PodNow::Ended => self.is_leader.then_some(Leak::PodEnded),
            PodNow::Lives { node, shown: Some(shown), .. } => {
                let is_here = !node.is_empty() && node == self.node;
                // An address that cannot be read cannot be compared either.
                let is_shown = hold.address.is_none_or(|address| shown.contains(&address));
                (is_here && !is_shown).then_some(Leak::ContainerGone)
            }
        }
    }

    /// Whether the holder is a container of this node that was not detached yet: its DEL frees what it holds.
    pub fn is_known(&self, hold: &Hold) -> bool {
        let Known { attachments, foreign } = self.known;
        // Reservations that the original made name no container, objects of its old releases no interface.
        let is_holder = |attached: &Attached| {
            let is_container = match &*hold.container_id {
                "" => attached.podref == hold.podref,
                container_id => attached.container_id == container_id,
            };
            is_container && (hold.ifname.is_empty() || attached.ifname == hold.ifname)
        };
        foreign.contains(&hold.container_id) || attachments.iter().any(is_holder)
    }
}

#[cfg(test)]
mod tests;
