//! `plexusctl networks`: networks with members.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{network_name, plugin_types};
use crate::agent::Agent;

/// One network.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    name: String,
    cni_name: String,
    plugins: Vec<String>,
    pods: usize,
}

pub(super) fn networks(agent: &Agent) -> Vec<Network> {
    let mut networks: BTreeMap<String, Network> = BTreeMap::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            let name = network_name(attachment);
            let network = networks.entry(name.clone()).or_insert_with(|| Network {
                name,
                cni_name: attachment.network.clone(),
                plugins: plugin_types(attachment),
                pods: 0,
            });
            network.pods += 1;
        }
    }
    networks.into_values().collect()
}
