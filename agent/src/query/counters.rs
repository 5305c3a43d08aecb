//! `plexusctl counters`: packets, bytes and drops of each port.

use serde::Serialize;

use super::{network_name, pod_name};
use crate::agent::Agent;
use crate::datapath::PortCounters;

/// One port's counters, from the pod's point of view.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortRow {
    port: u32,
    pod: String,
    interface: String,
    network: String,
    counters: Option<PortCounters>,
    error: Option<String>,
}

pub(super) fn counters(agent: &Agent) -> Vec<PortRow> {
    let mut all = Vec::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            let Some(port) = &attachment.port else { continue };
            let counters = agent.datapath.counters(port.id);
            all.push(PortRow {
                port: port.id,
                pod: pod_name(&record),
                interface: attachment.ifname.clone(),
                network: network_name(attachment),
                error: counters.as_ref().err().map(ToString::to_string),
                counters: counters.ok(),
            });
        }
    }
    all.sort_by_key(|counters| counters.port);
    all
}
