//! `plexusctl networks`: networks with members.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{network_name, plugin_types};
use crate::agent::Agent;
use crate::datapath::NetworkState;
use crate::record::PortKind;

/// One network.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    name: String,
    cni_name: String,
    plugins: Vec<String>,
    pods: usize,
    /// Only for a fastpath network: its uplink, VLAN and the programs on the uplink.
    fastpath: Option<Fastpath>,
}

/// How a fastpath network leaves the node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fastpath {
    uplink: Option<String>,
    vlan: u16,
    state: Option<NetworkState>,
}

pub(super) fn networks(agent: &Agent) -> Vec<Network> {
    let states = agent.datapath.networks().unwrap_or_default();
    let mut networks: BTreeMap<String, Network> = BTreeMap::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            let name = network_name(attachment);
            let network = networks.entry(name.clone()).or_insert_with(|| Network {
                name,
                cni_name: attachment.network.clone(),
                plugins: plugin_types(attachment),
                pods: 0,
                fastpath: None,
            });
            if let Some(PortKind::Fastpath { network_id, vlan, uplink, .. }) =
                attachment.port.as_ref().map(|port| &port.kind)
            {
                let state = states.iter().find(|state| state.id == *network_id).cloned();
                network.fastpath = Some(Fastpath { uplink: uplink.clone(), vlan: *vlan, state });
            }
            network.pods += 1;
        }
    }
    networks.into_values().collect()
}
