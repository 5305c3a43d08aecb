//! What of a pod's annotations reaches a running attachment: its limits.
//!
//! As at ADD, the element that selects the network goes before what the runtime reads from kubernetes.io/ingress-bandwidth
//! and egress-bandwidth, and either goes before the network's own keys.

use plexus_cni::annotation::{DEFAULT_NETWORK, EGRESS_BANDWIDTH, INGRESS_BANDWIDTH, NETWORKS};
use plexus_cni::config::NetworkConfigList;
use plexus_cni::json::Object;
use plexus_cni::pod::Pod;
use plexus_cni::selection::{NetworkSelectionElement, parse_selection};
use plexus_cni::{CniError, Code, quantity};
use serde_json::{Value, json};

use super::network::live_keys;
use crate::record::Attachment;

/// The capability, and the key of `runtimeConfig`.
const BANDWIDTH: &str = "bandwidth";

/// Takes the limits over that the pod asks for by now.
pub(super) fn merge(attachment: &mut Attachment, pod: &Pod) -> Result<(), CniError> {
    let Some(limits) = limits(attachment, pod)? else { return Ok(()) };
    let list = NetworkConfigList::from_object(
        attachment.config.clone(),
        Some(&attachment.network),
        Some(attachment.cni_version()),
    )?;
    let follows = list
        .plugins
        .iter()
        .any(|plugin| plugin.has_capability(BANDWIDTH) && live_keys(attachment, plugin).is_some());
    match limits {
        Limits::Element(limits) if !follows => Err(CniError::new(
            Code::UnsupportedField,
            format!("field \"bandwidth\" {} cannot be honoured", Value::Object(limits)),
        )
        .because("no plugin of the network declares it; add \"capabilities\": {\"bandwidth\": true}")),
        _ if !follows => Ok(()),
        Limits::Element(limits) | Limits::Runtime(Some(limits)) => {
            attachment.runtime_config.insert(BANDWIDTH.into(), limits.into());
            Ok(())
        }
        Limits::Runtime(None) => {
            attachment.runtime_config.shift_remove(BANDWIDTH);
            Ok(())
        }
    }
}

/// Whose limits count.
enum Limits {
    Element(Object),
    Runtime(Option<Object>),
}

/// The limits of the pod's annotations; `None` where the element that selected the attachment is gone, so that nothing is said
/// of it.
fn limits(attachment: &Attachment, pod: &Pod) -> Result<Option<Limits>, CniError> {
    if let Some(place) = attachment.source.element {
        let Some(element) = element(attachment, pod, place)? else { return Ok(None) };
        if let Some(limits) = element.bandwidth {
            return Ok(Some(Limits::Element(limits)));
        }
    }
    runtime(attachment, pod).map(Limits::Runtime).map(Some)
}

/// The element that selects the attachment: the one that names its interface, else the one in the place that it had.
fn element(
    attachment: &Attachment,
    pod: &Pod,
    place: usize,
) -> Result<Option<NetworkSelectionElement>, CniError> {
    let key = if attachment.is_default { DEFAULT_NETWORK } else { NETWORKS };
    let Some((namespace, name)) = attachment.nad.as_deref().and_then(|nad| nad.split_once('/')) else {
        return Ok(None);
    };
    // Where the annotation for the default network names no namespace the administrator's is meant: the network's own.
    let home = if attachment.is_default { namespace } else { &pod.namespace };
    let elements = parse_selection(key, pod.annotation(key).unwrap_or_default(), home)?;
    let is_its =
        |element: &&NetworkSelectionElement| (&*element.namespace, &*element.name) == (namespace, name);
    let named = elements
        .iter()
        .filter(is_its)
        .find(|element| !attachment.is_default && element.interface.as_deref() == Some(&attachment.ifname));
    let placed = || {
        let is_free =
            |element: &&NetworkSelectionElement| attachment.is_default || element.interface.is_none();
        elements.get(place).filter(is_its).filter(is_free)
    };
    Ok(named.or_else(placed).cloned())
}

/// The limits as a runtime would pass them. What it passed stays as it is while the annotations say the same, and where it
/// did not have it from them.
fn runtime(attachment: &Attachment, pod: &Pod) -> Result<Option<Object>, CniError> {
    let mut limits = Object::new();
    for (annotation, key) in [(INGRESS_BANDWIDTH, "ingressRate"), (EGRESS_BANDWIDTH, "egressRate")] {
        if let Some(text) = pod.annotation(annotation) {
            limits.insert(key.into(), json!(quantity::parse(text, &format!("annotation {annotation}"))?));
        }
    }
    if limits.is_empty() {
        return Ok(attachment.source.runtime_limits.as_ref().and_then(Value::as_object).cloned());
    }
    let passed = attachment.runtime_config.get(BANDWIDTH).and_then(Value::as_object);
    let rate = |limits: &Object, key: &str| limits.get(key).and_then(Value::as_u64).unwrap_or(0);
    let is_same = |passed: &&Object| {
        ["ingressRate", "egressRate"].iter().all(|key| rate(passed, key) == rate(&limits, key))
    };
    Ok(Some(passed.filter(is_same).cloned().unwrap_or(limits)))
}
