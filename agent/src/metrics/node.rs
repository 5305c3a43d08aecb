//! What is read from the agent at each scrape.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::ipam::Pools;
use super::ports::{self, NetworkTotals};
use super::series::{Kind, Series, number};
use super::{Requests, cluster, dhcp, pools};
use crate::agent::Agent;
use crate::spool;
use crate::worker::Pool;

/// The running agent, and what is remembered from scrape to scrape.
pub struct Node {
    agent: Arc<Agent>,
    pool: Pool,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    networks: NetworkTotals,
    pools: Pools,
}

impl Node {
    /// The agent and its workers.
    pub fn new(agent: Arc<Agent>, pool: Pool) -> Self {
        Self { agent, pool, memory: Mutex::default() }
    }

    /// Why the runtime does not come here yet, if plexusd is to see to that.
    pub(super) fn conflist_refusal(&self) -> Option<String> {
        self.agent.conflist.refusal()
    }

    /// The cache, if there is a source of pods and networks.
    pub(super) fn catalog(&self) -> Option<&crate::cluster::Catalog> {
        self.agent.catalog.as_deref()
    }

    /// Where calls are counted.
    pub(super) fn requests(&self) -> &Requests {
        &self.agent.requests
    }

    /// Everything that is read at a scrape. It makes system calls for each port, so it belongs on no asynchronous thread.
    fn series(&self) -> Vec<Series> {
        let agent = &*self.agent;
        let records = agent.records.all();
        let attachments = records.iter().map(|record| record.attachments.len()).sum();
        let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let mut all = vec![
            Series {
                name: "plexus_build_info",
                help: "1; the version",
                kind: Kind::Gauge,
                rows: vec![(build, 1.0)],
            },
            Series::gauge(
                "plexus_uptime_seconds",
                "Time since the agent was ready",
                vec![(Vec::new(), agent.started.elapsed().as_secs_f64())],
            ),
            Series::single("plexus_queue_depth", "Calls that wait for a worker", self.pool.waiting()),
            Series::single("plexus_workers_busy", "Workers that serve a call", self.pool.busy()),
            Series::single("plexus_workers", "Workers", self.pool.workers()),
            Series::single("plexus_records", "Containers with attachments", records.len()),
            Series::single("plexus_attachments", "Attachments of all containers", attachments),
            Series::single("plexus_ports_used", "Ports of the data plane in use", agent.ports.used()),
            Series::gauge(
                "plexus_ports_max",
                "Most ports of the data plane",
                vec![(Vec::new(), number(agent.settings.ports_max.into()))],
            ),
            Series::single(
                "plexus_spooled_dels",
                "DELs that were kept while no agent was there and are not served yet",
                spool::len(&agent.settings.state_dir),
            ),
            cluster::calls(&agent.api_calls),
        ];
        all.extend(dhcp::series(&agent.dhcp));
        all.extend(agent.catalog.iter().flat_map(|catalog| cluster::cache(catalog)));
        if let Some(cluster) = &agent.pools {
            all.extend(pools::classic(cluster));
            all.extend(cluster.slices().iter().flat_map(|slices| pools::fast(slices)));
            all.extend(pools::reconciler(&agent.reconciled));
        }
        let rows = ports::rows(agent);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.networks.update(&rows);
        memory.pools.refresh(agent);
        all.extend(memory.networks.series());
        all.extend(memory.pools.series());
        all.extend(ports::series(&rows, agent.settings.metrics_ports_max));
        all
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Collector for Node {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.series().iter().try_for_each(|series| series.encode(&mut encoder))
    }
}
