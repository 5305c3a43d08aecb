//! `plexusctl pods`: every pod with its interfaces.

use plexus_cni::CniResult;
use serde::Serialize;
use serde_json::Value;

use super::{network_name, plugin_types, pod_name};
use crate::agent::Agent;
use crate::record::{Attachment, Record};

/// One pod.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    pub(super) name: String,
    container_id: String,
    netns: Option<String>,
    pub(super) interfaces: Vec<Interface>,
    network_status: Vec<Value>,
}

/// One interface.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interface {
    name: String,
    network: String,
    plugins: Vec<String>,
    ips: Vec<String>,
    mac: Option<String>,
    port: Option<u32>,
    is_default: bool,
    is_complete: bool,
}

pub(super) fn pods(agent: &Agent) -> Vec<Pod> {
    agent.records.all().iter().map(|record| pod(record)).collect()
}

pub(super) fn pod(record: &Record) -> Pod {
    Pod {
        name: pod_name(record),
        container_id: record.container_id.clone(),
        netns: record.netns.as_ref().map(|netns| netns.path.clone()),
        interfaces: record.attachments.iter().map(interface).collect(),
        network_status: record.attachments.iter().flat_map(|attachment| attachment.status.clone()).collect(),
    }
}

fn interface(attachment: &Attachment) -> Interface {
    let result = attachment.cni_result().ok().flatten().unwrap_or_default();
    let CniResult { interfaces, ips, .. } = &result;
    let index = result.container_interface(&attachment.ifname);
    Interface {
        name: attachment.ifname.clone(),
        network: network_name(attachment),
        plugins: plugin_types(attachment),
        ips: ips
            .iter()
            .filter(|ip| ip.interface.is_none() || ip.interface == index)
            .map(|ip| ip.address.to_string())
            .collect(),
        mac: index.and_then(|index| interfaces[index].mac.clone()),
        port: attachment.port_id,
        is_default: attachment.is_default,
        is_complete: attachment.is_complete(),
    }
}
