//! The text of a pod's network-status, from its record.

use plexus_cni::annotation::NETWORK_STATUS;
use plexus_cni::pod::Pod;
use plexus_cni::status::annotation;
use serde_json::Value;

use crate::record::Record;

/// The text; `None` where nothing of the meta-plugin is attached.
pub(super) fn text(record: &Record) -> Option<String> {
    let elements = elements(record);
    (!elements.is_empty()).then(|| annotation(&elements))
}

/// Whether the pod says already what the record says. Elements of others beside ours are theirs, and stay.
pub(super) fn is_written(pod: &Pod, record: &Record) -> bool {
    let text = pod.annotation(NETWORK_STATUS).unwrap_or_default();
    let written: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    elements(record).iter().all(|element| written.contains(element))
}

fn elements(record: &Record) -> Vec<&Value> {
    let complete = record.attachments.iter().filter(|attachment| attachment.is_complete());
    complete.flat_map(|attachment| &attachment.status).collect()
}
