//! At the start: make the data plane what the records say.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use plexus_cni::CniError;

use crate::agent::Agent;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;
use crate::record::{PortKind, PortRecord, Record};

/// Compares records and data plane: ports that no record knows are removed, ports that are lost are built again.
pub fn repair(agent: &Agent, host: &Netlink) {
    let records = agent.records.all();
    let known: BTreeSet<u32> = records
        .iter()
        .flat_map(|record| record.attachments.iter().filter_map(|attachment| attachment.port_id))
        .collect();
    for id in agent.datapath.ports().unwrap_or_default().into_iter().filter(|id| !known.contains(id)) {
        match agent.datapath.remove_port(id) {
            Ok(()) => tracing::info!(port = id, "removed a port that no record knows"),
            Err(error) => tracing::error!(port = id, %error, "a port that no record knows stays"),
        }
    }
    for record in records.iter().filter(|record| record.boot_id == agent.boot_id) {
        for port in record.attachments.iter().filter_map(|attachment| attachment.port.as_ref()) {
            if let Err(error) = restore(agent, host, record, port) {
                tracing::error!(container = record.container_id, port = port.id, %error, "a port cannot be built again");
            }
        }
    }
}

fn restore(agent: &Agent, host: &Netlink, record: &Record, port: &PortRecord) -> Result<(), CniError> {
    let state = agent.datapath.port_state(port.id)?;
    if !state.hooks.is_empty() && state.hooks.iter().all(|hook| hook.ours) {
        return Ok(());
    }
    let sandbox = match port.kind {
        PortKind::PodTap => record.netns.as_ref().and_then(|known| Sandbox::reopen(host, known)),
        PortKind::HostTap | PortKind::Fastpath { .. } => None,
    };
    agent.datapath.add_port(&port.spec(sandbox.as_ref().map(|sandbox| sandbox.netns.as_fd())))?;
    Ok(())
}
