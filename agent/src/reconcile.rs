//! The reconciler: what no runtime asks for, but must not be left (C084, C120).
//!
//! A runtime that dies between ADD and saving its result never sends the DEL, and most runtimes never send a GC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::agent::Agent;
use crate::delegate::NoShim;
use crate::ipam::whereabouts;
use crate::netlink::Netlink;
use crate::{repair, spool};

/// Time between two looks. A container must be found without its namespace twice before it is released, so that a
/// DEL which is on its way comes first.
const PERIOD: Duration = Duration::from_secs(10);

/// Starts the reconciler on a thread of its own.
pub fn start(agent: &Arc<Agent>) -> std::io::Result<()> {
    let agent = Arc::clone(agent);
    let look_forever = move || {
        let mut suspects = BTreeSet::new();
        loop {
            std::thread::sleep(PERIOD);
            match Netlink::open() {
                Ok(host) => suspects = look(&agent, &host, &suspects),
                Err(error) => tracing::warn!(%error, "nothing can be reconciled now"),
            }
        }
    };
    std::thread::Builder::new().name("reconciler".into()).spawn(look_forever).map(drop)
}

/// Gives addresses back that the API server did not take at DEL.
fn release_pending(agent: &Agent) {
    if let Some(pools) = &agent.pools {
        let lock = |container: &str| agent.locks.container(container, Instant::now()).ok();
        whereabouts::retry_pending(pools, SystemTime::now(), lock);
    }
}

/// Serves the spool and releases containers whose namespace is gone for the second time; returns those of the first.
fn look(agent: &Agent, host: &Netlink, suspects: &BTreeSet<String>) -> BTreeSet<String> {
    spool::replay(agent, host, &NoShim);
    release_pending(agent);
    if let Err(error) = agent.datapath.age_stations() {
        tracing::warn!(%error, "learnt stations cannot be aged");
    }
    let mut gone = BTreeSet::new();
    for record in agent.records.all() {
        if !record.netns.as_ref().is_some_and(crate::record::NetnsId::is_gone) {
            continue;
        }
        if suspects.contains(&record.container_id) {
            tracing::info!(container = record.container_id, "its network namespace is gone and no DEL came");
            repair::release(agent, host, &record);
        } else {
            gone.insert(record.container_id.clone());
        }
    }
    gone
}
