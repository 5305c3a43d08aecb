//! `plexusctl ports`: where the programs of each port sit, and why there.

use serde::Serialize;

use super::{network_name, pod_name};
use crate::agent::Agent;
use crate::datapath::PortState;
use crate::record::{PortKind, PortRecord, Rate};

/// One port.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    id: u32,
    pod: String,
    interface: String,
    network: String,
    kind: PortKind,
    ifindex: u32,
    guard_mac: bool,
    guard_ip: bool,
    ingress: Option<Rate>,
    egress: Option<Rate>,
    state: Option<PortState>,
    error: Option<String>,
}

pub(super) fn ports(agent: &Agent) -> Vec<Port> {
    let mut ports = Vec::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            if let Some(port) = &attachment.port {
                let names = (pod_name(&record), attachment.ifname.clone(), network_name(attachment));
                ports.push(describe(agent, port, names));
            }
        }
    }
    ports.sort_by_key(|port| port.id);
    ports
}

fn describe(agent: &Agent, port: &PortRecord, (pod, interface, network): (String, String, String)) -> Port {
    let state = agent.datapath.port_state(port.id);
    Port {
        id: port.id,
        pod,
        interface,
        network,
        kind: port.kind.clone(),
        ifindex: port.ifindex,
        guard_mac: port.guard_mac,
        guard_ip: port.guard_ip,
        ingress: port.ingress,
        egress: port.egress,
        error: state.as_ref().err().map(ToString::to_string),
        state: state.ok(),
    }
}
