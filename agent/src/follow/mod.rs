//! Running pods follow: what changes in a NetworkAttachmentDefinition or in a pod's annotations reaches interfaces that are
//! there already, as far as their plugins can change it live.
//!
//! ```text
//! Catalog ── Changes ──▶ thread ── look ──▶ Inputs of each record: as last time? done
//!                                             └─▶ wanted (pure) ──▶ attach::change: intent, data plane, undo
//! ```
//!
//! What cannot be changed live is left for new pods. A config that is refused changes nothing, and is told.

mod inputs;
mod limits;
mod look;
mod network;
mod refusals;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use refusals::Refusals;

use self::look::Follower;
use crate::agent::Agent;
use crate::netlink::Netlink;

/// Everything is looked at again after this even if nothing is told: what failed before may work now.
const PERIOD: Duration = Duration::from_secs(10);
/// Changes that come within this of each other are looked at together.
const SETTLE: Duration = Duration::from_millis(20);
/// A container that was busy is looked at again after this.
const RETRY: Duration = Duration::from_millis(200);

/// Starts to follow, on a thread of its own; without a source of pods and networks there is nothing to follow.
pub fn start(agent: &Arc<Agent>) -> std::io::Result<()> {
    let Some(catalog) = agent.catalog.clone() else { return Ok(()) };
    let agent = Arc::clone(agent);
    let follow_forever = move || {
        let (mut follower, mut seen, mut wait) = (Follower::default(), 0, Duration::ZERO);
        loop {
            let until = Instant::now() + wait;
            let told = catalog.changes.wait(seen, wait);
            if told != seen {
                std::thread::sleep(SETTLE.min(until.saturating_duration_since(Instant::now())));
            }
            seen = catalog.changes.wait(seen, Duration::ZERO);
            wait = match Netlink::open() {
                Ok(host) => {
                    if follower.look(&agent, &catalog, &host) {
                        PERIOD
                    } else {
                        RETRY
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "changes of networks and pods cannot be followed now");
                    PERIOD
                }
            };
        }
    };
    std::thread::Builder::new().name("follower".into()).spawn(follow_forever).map(drop)
}
