//! How full the pools of addresses are from which this node's pods have theirs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plexus_cni::json::Object;
use serde_json::Value;

use super::series::{Series, number};
use crate::agent::Agent;
use crate::ipam::host_local::{PoolUse, pools};
use crate::record::Attachment;

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
        let networks = host_local_networks(records.iter().flat_map(|record| &record.attachments));
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

/// The plugin configs with host-local, each network's once: by network and IPAM section.
fn host_local_networks<'a>(
    attachments: impl Iterator<Item = &'a Attachment>,
) -> BTreeMap<(String, String), &'a Object> {
    let mut networks = BTreeMap::new();
    for attachment in attachments {
        let chain = attachment.config.get("plugins").and_then(Value::as_array);
        let single = chain.is_none().then_some(&attachment.config);
        let plugins = chain.into_iter().flatten().filter_map(Value::as_object).chain(single);
        for plugin in plugins {
            let Some(ipam) = plugin.get("ipam") else { continue };
            if ipam.get("type").and_then(Value::as_str) == Some("host-local") {
                networks.insert((attachment.network.clone(), ipam.to_string()), plugin);
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(network: &str, config: &Value) -> Attachment {
        serde_json::from_value(serde_json::json!({
            "owner": {"meta": {"ifname": "eth0"}}, "network": network, "nad": null, "ifname": "net1",
            "isDefault": false, "config": config, "cniVersion": "1.0.0", "runtimeConfig": {}, "args": "",
            "path": [], "portId": 3, "ownsPort": true, "result": null, "port": null, "status": [],
        }))
        .unwrap()
    }

    #[test]
    fn each_network_with_host_local_is_found_once_in_chains_and_single_configs() {
        let pool =
            serde_json::json!({"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}});
        let chain = serde_json::json!({"plugins": [pool, {"type": "bandwidth"}]});
        let fixed = serde_json::json!({"type": "macvlan", "ipam": {"type": "static"}});
        let all = [
            attachment("a", &pool),
            attachment("a", &pool),
            attachment("b", &chain),
            attachment("c", &fixed),
        ];
        let networks = host_local_networks(all.iter());
        assert_eq!(networks.keys().map(|(network, _)| &**network).collect::<Vec<_>>(), ["a", "b"]);
    }
}
