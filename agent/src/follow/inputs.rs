//! What a container's attachments follow, as it was at one moment.

use std::sync::Arc;

use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;

use crate::cluster::{Catalog, PodId, Verdict};
use crate::record::{Attachment, Record};

/// The pod, and the network of each attachment in the record's order; what is not in the cache is not followed.
#[derive(PartialEq)]
pub(super) struct Inputs {
    pub(super) pod: Option<Arc<Pod>>,
    pub(super) networks: Vec<Option<Arc<NetworkAttachmentDefinition>>>,
    /// Whether each ADD has ended.
    are_complete: Vec<bool>,
}

impl Inputs {
    pub(super) fn of(catalog: &Catalog, record: &Record) -> Self {
        let pod = record.pod.as_ref().and_then(|known| {
            let id = PodId { namespace: &known.namespace, name: &known.name, uid: known.uid.as_deref() };
            catalog.pods.get(id.namespace, id.name).filter(|pod| id.judge(pod) == Verdict::Wanted)
        });
        let network = |attachment: &Attachment| {
            let (namespace, name) = attachment.nad.as_deref()?.split_once('/')?;
            catalog.nads.get(namespace, name)
        };
        Self {
            pod,
            networks: record.attachments.iter().map(network).collect(),
            are_complete: record.attachments.iter().map(Attachment::is_complete).collect(),
        }
    }

    /// Whether nothing that matters differs: objects that only were read again do not.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let same_pod = match (&self.pod, &other.pod) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one.annotations == two.annotations,
            (None, None) => true,
            _ => false,
        };
        let same_network = |(one, two): (&Option<Arc<NetworkAttachmentDefinition>>, &Option<_>)| {
            config(one.as_ref()) == config(two.as_ref())
        };
        same_pod
            && self.are_complete == other.are_complete
            && self.networks.len() == other.networks.len()
            && self.networks.iter().zip(&other.networks).all(same_network)
    }
}

/// The text that a network's attachments follow; one that stands in a file of the node is not followed.
pub(super) fn config(nad: Option<&Arc<NetworkAttachmentDefinition>>) -> Option<&str> {
    nad?.config.as_deref()
}
