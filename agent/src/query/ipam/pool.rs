//! One pool, as it is shown.

use std::net::IpAddr;

use serde::Serialize;

/// Where a pool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An IPPool of the API server, shared by all nodes.
    Whereabouts,
    /// A NodeSlicePool of the API server: nodes own slices of it.
    Slices,
    /// This node's slices of such a pool.
    NodeSlices,
    /// A directory of this node.
    HostLocal,
    /// Leases that this node's pods have of a DHCP server.
    Dhcp,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pool {
    pub(super) kind: Kind,
    /// The object's name; of a directory the network's.
    pub(super) name: String,
    /// The network's name, as far as it is known.
    pub(super) network: Option<String>,
    /// Null where somebody else knows it: a DHCP server.
    pub(super) range: Option<String>,
    /// Addresses that can be handed out.
    pub(super) size: Option<u64>,
    /// Addresses that are held; null where only other nodes know.
    pub(super) used: Option<u64>,
    /// Only for slices.
    pub(super) slices: Option<Slices>,
    /// Only where the pool was asked for by name.
    pub(super) holders: Option<Vec<Holder>>,
    /// What contradicts.
    pub(super) conflicts: Vec<Conflict>,
}

/// Slices and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slices {
    pub(super) total: usize,
    pub(super) taken: usize,
    /// Nodes that own some, most first.
    pub(super) nodes: Vec<Owner>,
}

/// A node that owns slices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    pub(super) node: String,
    pub(super) slices: usize,
}

/// Who holds an address, or a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holder {
    /// The address, or the slice.
    pub(super) address: String,
    pub(super) pod: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) container_id: Option<String>,
    pub(super) node: Option<String>,
}

/// Two things that cannot both be so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Conflict {
    pub(super) address: IpAddr,
    /// For people.
    pub(super) what: String,
}

impl Pool {
    /// Whether a person means it by `name`.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.range.as_deref() == Some(name) || self.network.as_deref() == Some(name)
    }

    /// Keeps at most `most` holders; returns how many have no place.
    pub(super) fn bound_holders(&mut self, most: usize) -> usize {
        let Some(holders) = &mut self.holders else { return 0 };
        let left_out = holders.len().saturating_sub(most);
        holders.truncate(most);
        left_out
    }
}
