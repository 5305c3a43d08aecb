//! How full the pools of addresses are from which this node's pods have theirs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::series::{Series, number};
use crate::agent::Agent;
use crate::ipam::host_local::{PoolUse, pools};
use crate::ipam::in_use::networks;

/// Most networks that are looked at; the rest is only counted.
const NETWORKS_MAX: usize = 256;
/// The directories are read again after this, not at each scrape.
const KEPT: Duration = Duration::from_secs(10);

/// What was seen last.
#[derive(Default)]
pub(super) struct Pools {
    seen: Option<Instant>,
    /// By network and range.
    used: BTreeMap<(String, String), PoolUse>,
    left_out: usize,
}

impl Pools {
    /// Looks again, if the last look is some time ago.
    pub(super) fn refresh(&mut self, agent: &Agent) {
        if self.seen.is_some_and(|seen| seen.elapsed() < KEPT) {
            return;
        }
        let records = agent.records.all();
        let networks = networks(records.iter().flat_map(|record| &record.attachments), "host-local");
        self.left_out = networks.len().saturating_sub(NETWORKS_MAX);
        self.used.clear();
        for ((network, _), config) in networks.iter().take(NETWORKS_MAX) {
            // A config that has become unreadable since has no pool to show.
            let used = pools(network, config, &agent.settings.ipam_data_dirs).unwrap_or_default();
            self.used.extend(used.into_iter().map(|pool| ((network.clone(), pool.range.clone()), pool)));
        }
        self.seen = Some(Instant::now());
    }

    /// Sizes and use.
    pub(super) fn series(&self) -> Vec<Series> {
        let rows = |value: &dyn Fn(&PoolUse) -> u64| {
            let rows = self.used.iter().map(|((network, range), pool)| {
                (vec![("network", network.clone()), ("range", range.clone())], number(value(pool)))
            });
            rows.collect::<Vec<_>>()
        };
        vec![
            Series::gauge(
                "plexus_ipam_pool_size",
                "Addresses that a host-local pool can hand out",
                rows(&|pool| pool.size),
            ),
            Series::gauge(
                "plexus_ipam_pool_used",
                "Addresses of a host-local pool that are reserved",
                rows(&|pool| pool.used),
            ),
            Series::single(
                "plexus_ipam_networks_left_out",
                "Networks with host-local whose pools are not shown, because there are too many",
                self.left_out,
            ),
        ]
    }
}
