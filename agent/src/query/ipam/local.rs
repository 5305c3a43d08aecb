//! Pools that only this node knows, as far as its pods use them.

use std::collections::BTreeMap;

use super::pool::{Holder, Kind, Pool};
use crate::agent::Agent;
use crate::ipam::host_local;
use crate::ipam::in_use::{networks, plugins};
use crate::record::Attachment;

/// Networks with `dhcp`, and what their servers gave to pods of this node.
pub(super) fn leased(agent: &Agent) -> Vec<Pool> {
    let mut leased: BTreeMap<String, Vec<Holder>> = BTreeMap::new();
    for record in agent.records.all() {
        let is_leased = |attachment: &&Attachment| plugins(attachment, "dhcp").next().is_some();
        for attachment in record.attachments.iter().filter(is_leased) {
            let result = attachment.cni_result().ok().flatten().unwrap_or_default();
            let holders = result.ips.iter().map(|ip| Holder {
                address: ip.address.addr().to_string(),
                pod: record.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name)),
                interface: Some(attachment.ifname.clone()),
                container_id: Some(record.container_id.clone()),
                node: None,
            });
            leased.entry(attachment.network.clone()).or_default().extend(holders);
        }
    }
    let pool = |(network, holders): (String, Vec<Holder>)| Pool {
        kind: Kind::Dhcp,
        name: network.clone(),
        network: Some(network),
        range: None,
        size: None,
        used: Some(holders.len() as u64),
        slices: None,
        holders: Some(holders),
        conflicts: Vec::new(),
    };
    leased.into_iter().map(pool).collect()
}

/// Every range set of `host-local`; one whose directory cannot be read is left out.
pub(super) fn pools(agent: &Agent) -> Vec<Pool> {
    let records = agent.records.all();
    let attachments = records.iter().flat_map(|record| &record.attachments);
    let dirs = &agent.settings.ipam_data_dirs;
    let pods = |container_id: &str| {
        let record = records.iter().find(|record| record.container_id == container_id)?;
        record.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name))
    };
    let mut pools = Vec::new();
    for ((network, _), config) in networks(attachments, "host-local") {
        for (used, reserved) in host_local::holders(&network, config, dirs).unwrap_or_default() {
            let holders = reserved.into_iter().map(|held| Holder {
                address: held.address.to_string(),
                pod: pods(&held.container_id),
                interface: held.ifname,
                container_id: Some(held.container_id),
                node: None,
            });
            pools.push(Pool {
                kind: Kind::HostLocal,
                name: network.clone(),
                network: Some(network.clone()),
                range: Some(used.range),
                size: Some(used.size),
                used: Some(used.used),
                slices: None,
                holders: Some(holders.collect()),
                conflicts: Vec::new(),
            });
        }
    }
    pools
}
