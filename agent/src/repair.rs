//! At the start: make the data plane what the records say.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plexus_cni::env::Command;
use plexus_cni::limits::REQUEST_DEADLINE_MS;
use plexus_cni::meta::META_TYPE;
use plexus_cni::wire::{CniCall, WIRE_VERSION};
use plexus_cni::{CniError, Version};
use serde_json::json;

use crate::agent::Agent;
use crate::delegate::NoShim;
use crate::ipam::host_local;
use crate::netlink::Netlink;
use crate::plugin::{Sandbox, restore_routes};
use crate::record::{Attachment, NetworkKey, Owner, PortKind, PortRecord, Record};
use crate::worker;

/// Releases what containers of an earlier boot hold: their links are gone, their addresses are not. What a foreign
/// plugin has to release waits for the runtime's DEL.
pub fn release_earlier_boots(agent: &Agent, host: &Netlink) {
    for record in agent.records.all().iter().filter(|record| record.boot_id != agent.boot_id) {
        release(agent, host, record);
    }
    // What no record knows: a power loss can take the record of an address that stays on the disk.
    host_local::release_earlier_boots(&agent.settings.ipam_data_dirs, &agent.boot_id);
}

/// Releases what a container holds for which no DEL will come; what a foreign plugin holds stays in the record.
pub fn release(agent: &Agent, host: &Netlink, record: &Record) {
    for attachment in record.attachments.iter().rev() {
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(REQUEST_DEADLINE_MS);
        let call = del_of(record, attachment);
        let outcome = worker::serve(agent, host, &call, None, &NoShim, begun, deadline);
        worker::log(&call, outcome.as_ref().err());
        if let Err(error) = outcome {
            tracing::warn!(container = record.container_id, %error, "an attachment without a container stays");
        }
    }
}

/// The DEL that would end an attachment.
fn del_of(record: &Record, attachment: &Attachment) -> CniCall {
    let (plugin_type, ifname) = match &attachment.owner {
        Owner::Meta { ifname } => (META_TYPE, ifname),
        Owner::Single { plugin_type } => (&**plugin_type, &attachment.ifname),
    };
    let version = Version::NEWEST.as_str();
    CniCall {
        wire_version: WIRE_VERSION,
        serves_sysctls: false,
        command: Command::Del,
        container_id: record.container_id.clone(),
        netns: None,
        ifname: ifname.clone(),
        args: String::new(),
        path: Vec::new(),
        config: json!({"cniVersion": version, "name": attachment.network, "type": plugin_type}).to_string(),
    }
}

/// Compares records and data plane: ports that no ADD finished are removed, ports that are lost are built again.
pub fn repair(agent: &Agent, host: &Netlink) {
    let records = agent.records.all();
    // A port of an ADD that was cut off has no record yet, and goes too: the runtime's DEL removes the rest.
    let known: BTreeSet<u32> = records
        .iter()
        .flat_map(|record| record.attachments.iter().filter_map(|attachment| attachment.port.as_ref()))
        .map(|port| port.id)
        .collect();
    let present = agent.datapath.ports().unwrap_or_default();
    for id in present.iter().copied().filter(|id| !known.contains(id)) {
        match agent.datapath.remove_port(id) {
            Ok(()) => tracing::info!(port = id, "removed a port that no finished ADD made"),
            Err(error) => tracing::error!(port = id, %error, "a port that no finished ADD made stays"),
        }
    }
    let networks = agent.networks.all();
    for network in agent.datapath.networks().unwrap_or_default() {
        if networks.iter().all(|(id, _)| *id != network.id)
            && let Err(error) = agent.datapath.remove_network(network.id)
        {
            tracing::error!(network = network.id, %error, "a network that no record knows stays");
        }
    }
    if let Err(error) = agent.datapath.release_unused_uplinks() {
        tracing::error!(%error, "programs stay on an uplink that no network uses");
    }
    for (id, key) in networks {
        if let Err(error) = restore_network(agent, host, id, &key) {
            tracing::error!(network = key.name, %error, "a network cannot be built again");
        }
    }
    for record in records.iter().filter(|record| record.boot_id == agent.boot_id) {
        for port in record.attachments.iter().filter_map(|attachment| attachment.port.as_ref()) {
            if let Err(error) = restore(agent, record, port, &present) {
                tracing::error!(container = record.container_id, port = port.id, %error, "a port cannot be built again");
            }
        }
    }
    let of_this_boot: Vec<_> =
        records.iter().filter(|record| record.boot_id == agent.boot_id).cloned().collect();
    if let Err(error) = restore_routes(agent, &of_this_boot) {
        tracing::error!(%error, "routes of the data plane cannot be put in force again");
    }
    if let Err(error) = agent.datapath.finish_migration() {
        tracing::error!(%error, "pins of an earlier release stay");
    }
}

fn restore_network(agent: &Agent, host: &Netlink, id: u32, key: &NetworkKey) -> Result<(), CniError> {
    let uplink = key.uplink.as_deref().map(|name| host.link_by_name(name)).transpose()?.flatten();
    let uplink_ifindex = uplink.map(|uplink| uplink.index);
    agent.datapath.upsert_network(&key.spec(id, uplink_ifindex)).map_err(Into::into)
}

/// The programs inside pods are reached by way of the data plane's own map; only where the port is lost altogether must
/// the pod be entered.
fn restore(agent: &Agent, record: &Record, port: &PortRecord, present: &[u32]) -> Result<(), CniError> {
    let is_lost = !present.contains(&port.id);
    let sandbox = match port.kind {
        PortKind::PodTap if is_lost => record.netns.as_ref().and_then(Sandbox::reopen),
        _ => None,
    };
    let socket = sandbox.as_ref().map(Sandbox::control);
    agent.datapath.restore_port(&port.spec(socket))?;
    port.shape(&agent.datapath)
}
