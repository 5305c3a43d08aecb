//! This node's slices of pools in fast mode, with who holds what in them: no other node knows that.

use super::pool::{Holder, Kind, Owner, Pool, Slices};
use crate::agent::Agent;
use crate::ipam::whereabouts::slices::PoolView;

/// One for each pool of which this node has slices or leases; none where their files cannot be read, which is logged.
pub(super) fn pools(agent: &Agent) -> Vec<Pool> {
    let Some(cluster) = &agent.pools else { return Vec::new() };
    let views = cluster.slices().map(|slices| slices.views());
    let views = views.inspect_err(|error| tracing::warn!(%error, "this node's slices are not shown"));
    views.unwrap_or_default().into_iter().map(|view| pool(view, &cluster.node)).collect()
}

fn pool(view: PoolView, node: &str) -> Pool {
    let holders = view.leases.into_iter().map(|(address, lease)| Holder {
        address: address.to_string(),
        pod: Some(lease.podref).filter(|podref| !podref.is_empty()),
        interface: Some(lease.ifname),
        container_id: Some(lease.container_id),
        node: Some(node.to_owned()),
    });
    let holders: Vec<_> = holders.collect();
    let owner = Owner { node: node.to_owned(), slices: view.slices.len() };
    Pool {
        kind: Kind::NodeSlices,
        name: view.name,
        network: None,
        range: Some(view.range.to_string()),
        size: Some(u64::try_from(view.usage.capacity).unwrap_or(u64::MAX)),
        used: Some(holders.len() as u64),
        slices: Some(Slices { total: view.slices.len(), taken: view.slices.len(), nodes: vec![owner] }),
        holders: Some(holders),
        conflicts: Vec::new(),
    }
}
