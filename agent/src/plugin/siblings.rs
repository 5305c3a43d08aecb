//! Children of one parent that exclude each other: the kernel says EEXIST or changes them all, our records say who.

use plexus_cni::CniError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::PluginCall;

/// What a child of a host's link remembers of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Child<T> {
    /// The parent's index in the host.
    pub(super) parent: u32,
    /// What it has of the parent.
    pub(super) share: T,
}

impl PluginCall<'_> {
    /// The other children of a parent that this plugin made, in this boot: what each has, and whose it is.
    pub(super) fn siblings<T: DeserializeOwned>(&self, parent: u32) -> Vec<(T, String)> {
        let suffix = format!(":{}", self.config.plugin_type());
        let mut found = Vec::new();
        for record in self.agent.records.all().iter().filter(|record| record.boot_id == self.agent.boot_id) {
            for attachment in &record.attachments {
                if record.container_id == self.container_id && attachment.ifname == self.ifname {
                    continue;
                }
                let notes = attachment.notes.saved.iter().filter(|(slot, _)| slot.ends_with(&suffix));
                let children = notes.filter_map(|(_, note)| Child::<T>::deserialize(note).ok());
                let pod = record.pod.as_ref().map_or_else(
                    || format!("container {}", record.container_id),
                    |pod| format!("pod {}/{}", pod.namespace, pod.name),
                );
                found.extend(
                    children
                        .filter(|child| child.parent == parent)
                        .map(|child| (child.share, format!("interface {} of {pod}", attachment.ifname))),
                );
            }
        }
        found
    }

    /// Notes what this interface has of its parent; children of a container's links are nobody else's business.
    pub(super) fn remember_child(&self, parent: u32, share: impl Serialize) -> Result<(), CniError> {
        self.remember(&Child { parent, share })
    }
}
