//! `plexusctl ports`: where the programs of each port sit, and why there.

use serde::Serialize;

use super::{network_name, placement, pod_name};
use crate::agent::Agent;
use crate::datapath::PortState;
use crate::record::{Attachment, PortKind, PortRecord, Rate};

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
    egress: Option<Egress>,
    /// Why the programs stand where they do.
    reason: Option<&'static str>,
    /// What the interface does not get.
    lacks: Vec<String>,
    state: Option<PortState>,
    error: Option<String>,
}

/// A limit of what a pod sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Egress {
    #[serde(flatten)]
    rate: Rate,
    /// What exceeds it waits, or is dropped.
    mode: Mode,
    /// Why so.
    why: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Mode {
    Shaped,
    Policed,
}

impl Egress {
    fn of(port: &PortRecord) -> Option<Self> {
        let mode = if port.is_shaped() { Mode::Shaped } else { Mode::Policed };
        let why = port.shaping.as_ref().map(|shaping| shaping.why.clone());
        port.egress.map(|rate| Self { rate, mode, why })
    }
}

pub(super) fn ports(agent: &Agent) -> Vec<Port> {
    let mut ports = Vec::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            if let Some(port) = &attachment.port {
                ports.push(describe(agent, pod_name(&record), attachment, port));
            }
        }
    }
    ports.sort_by_key(|port| port.id);
    ports
}

fn describe(agent: &Agent, pod: String, attachment: &Attachment, port: &PortRecord) -> Port {
    let state = agent.datapath.port_state(port.id);
    Port {
        id: port.id,
        pod,
        interface: attachment.ifname.clone(),
        network: network_name(attachment),
        kind: port.kind.clone(),
        ifindex: port.ifindex,
        guard_mac: port.guard_mac,
        guard_ip: port.guard_ip,
        ingress: port.ingress,
        egress: Egress::of(port),
        reason: placement::of(attachment),
        lacks: attachment.notes.lacks.clone(),
        error: state.as_ref().err().map(ToString::to_string),
        state: state.ok(),
    }
}
