//! What can be seen of this node's pools, for plexusctl and metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Slices;
use super::book::Usage;
use super::lease::Lease;

/// One pool of this node at one moment.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// The NodeSlicePool's name.
    pub name: String,
    /// The whole range.
    pub range: IpNet,
    /// This node's slices; those that the API server has not confirmed, or has given to somebody else, with `false`.
    pub slices: Vec<(IpNet, bool)>,
    /// Use of the confirmed ones.
    pub usage: Usage,
    /// Who holds what.
    pub leases: BTreeMap<IpAddr, Lease>,
}

impl Slices {
    /// Every pool that this node has slices or leases of.
    pub fn views(&self) -> Vec<PoolView> {
        let view = |pool: &std::sync::Arc<super::pool::Pool>| {
            let state = pool.lock();
            let slices = state.book.slices().iter().map(|slice| (slice.kept.range, slice.is_confirmed));
            PoolView {
                name: state.spec.name.clone(),
                range: state.spec.range,
                slices: slices.collect(),
                usage: state.book.usage(&state.spec),
                leases: state.book.leases().clone(),
            }
        };
        let views = self.all();
        views.iter().map(view).filter(|view| !view.slices.is_empty() || !view.leases.is_empty()).collect()
    }
}
