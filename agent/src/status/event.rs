//! What is told of an ADD in the pod's events.

use std::fmt::Write as _;

use plexus_cni::{CniError, Code};

use crate::cluster::PodKey;
use crate::record::Attachment;

/// Longest message that the API server takes, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Something that happened to a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The pod.
    pub pod: PodKey,
    /// Whether somebody should look into it.
    pub is_warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// What happened, for people.
    pub message: String,
}

impl Event {
    /// `Add net1 [10.0.0.2/16] from default/blue`, as Multus has it.
    pub fn added(pod: PodKey, attachment: &Attachment) -> Self {
        let result = attachment.cni_result().ok().flatten().unwrap_or_default();
        let network = attachment.nad.as_ref().unwrap_or(&attachment.network);
        let ips: Vec<String> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
        let message = format!("Add {} [{}] from {network}", attachment.ifname, ips.join(" "));
        Self { pod, is_warning: false, reason: "AddedInterface", message: cut(message) }
    }

    /// Why an ADD failed; the error names pod, network and interface, the cause, and what to do.
    pub fn failed(pod: PodKey, error: &CniError) -> Self {
        let reason = match error.code {
            Code::NetworkNotFound => "NoNetworkFound",
            _ => "FailedAttachingNetwork",
        };
        Self { pod, is_warning: true, reason, message: cut(error.to_string()) }
    }

    /// A running interface got what its network or pod asks for by now.
    pub fn changed(pod: PodKey, attachment: &Attachment) -> Self {
        let network = attachment.nad.as_ref().unwrap_or(&attachment.network);
        let message = format!("Change {} from {network}", attachment.ifname);
        Self { pod, is_warning: false, reason: "ChangedInterface", message: cut(message) }
    }

    /// A running interface was left as it is, because what is asked for cannot be had.
    pub fn unchanged(pod: PodKey, attachment: &Attachment, error: &CniError) -> Self {
        let message = format!("interface {} stays as it is: {error}", attachment.ifname);
        Self { pod, is_warning: true, reason: "FailedChangingInterface", message: cut(message) }
    }

    /// The pod's networks are attached, but its network-status cannot be written.
    pub fn status_unwritten(pod: PodKey, why: &str) -> Self {
        let message = format!(
            "the networks of pod {}/{} are attached, but annotation k8s.v1.cni.cncf.io/network-status cannot be written: {why}",
            pod.namespace, pod.name
        );
        Self { pod, is_warning: true, reason: "FailedWritingNetworkStatus", message: cut(message) }
    }
}

/// The message, cut at a character's end where it is too long.
fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let mark = "…";
        let mut end = MESSAGE_BYTES_MAX - mark.len();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        // Writing to a String cannot fail.
        write!(message, "{mark}").unwrap_or_default();
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> PodKey {
        PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() }
    }

    #[test]
    fn an_added_interface_is_told_as_multus_does() {
        let attachment: Attachment = serde_json::from_value(json!({
            "owner": {"meta": {"ifname": "eth0"}}, "network": "mv1", "nad": "default/mv1", "ifname": "net1",
            "isDefault": false, "config": {}, "cniVersion": "1.0.0", "runtimeConfig": {}, "args": "", "path": [],
            "portId": null, "ownsPort": false, "port": null, "status": [],
            "result": {"cniVersion": "1.0.0", "ips": [{"address": "10.211.0.2/16"}, {"address": "fd00::2/64"}]},
        }))
        .unwrap();
        let event = Event::added(pod(), &attachment);
        assert_eq!(event.message, "Add net1 [10.211.0.2/16 fd00::2/64] from default/mv1");
        assert_eq!((event.reason, event.is_warning), ("AddedInterface", false));
    }

    #[test]
    fn a_failure_says_all_that_the_error_says() {
        let error =
            CniError::new(Code::NetworkNotFound, "pod n/p: network n/x does not exist").because("create it");
        let event = Event::failed(pod(), &error);
        assert_eq!(event.message, "pod n/p: network n/x does not exist: create it");
        assert_eq!((event.reason, event.is_warning), ("NoNetworkFound", true));
        assert_eq!(Event::failed(pod(), &CniError::new(Code::Kernel, "x")).reason, "FailedAttachingNetwork");
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_at_a_character() {
        let error = CniError::new(Code::Kernel, "ä".repeat(2000));
        let message = Event::failed(pod(), &error).message;
        assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with("ä…"));
    }
}
