//! Freeing addresses, and looking whether they are held.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use plexus_cni::CniError;

use super::Slices;
use super::claim::{Lacking, Need};
use super::pool::Knowledge;
use super::spec::PoolSpec;

/// For this long a failed STATUS is repeated.
const REFUSED_KEPT: Duration = Duration::from_secs(10);

impl Slices {
    /// Frees everything that this container's interface holds, in whichever pool; how many addresses that were. Nothing
    /// but the file is written, so it works without the API server.
    pub fn release(&self, container_id: &str, ifname: &str) -> Result<usize, CniError> {
        let mut freed = 0;
        for pool in self.all() {
            if pool.release(container_id, ifname)?.is_some() {
                self.counters.freed.count();
                self.unsynced.ring();
                freed += 1;
            }
        }
        Ok(freed)
    }

    /// Frees what containers hold on this network that are not in `valid`: container id and interface.
    pub fn collect(&self, network: &str, valid: &[(String, String)]) -> Result<usize, CniError> {
        let valid: HashSet<(&str, &str)> = valid.iter().map(|(id, ifname)| (&**id, &**ifname)).collect();
        let mut freed = 0;
        for pool in self.all() {
            let stale: Vec<(String, String)> = {
                let state = pool.lock();
                let of_network = state.book.leases().values().filter(|lease| lease.network == network);
                let invalid =
                    of_network.filter(|lease| !valid.contains(&(&*lease.container_id, &*lease.ifname)));
                invalid.map(|lease| (lease.container_id.clone(), lease.ifname.clone())).collect()
            };
            for (container_id, ifname) in stale {
                if pool.release(&container_id, &ifname)?.is_some() {
                    self.counters.freed.count();
                    freed += 1;
                }
            }
        }
        Ok(freed)
    }

    /// What this container's interface holds, in all pools.
    pub fn held_by(&self, container_id: &str, ifname: &str) -> Vec<IpAddr> {
        self.all().iter().filter_map(|pool| pool.lock().book.held_by(container_id, ifname)).collect()
    }

    /// Fails when an ADD could not be served: neither this node's slices nor the range has room. Where the slices have, no
    /// request is made; else it is the claim of an ADD without the ADD, so that the next one finds the slice. A failure is
    /// repeated for some seconds without another look: runtimes ask again and again.
    pub fn status(&self, specs: &[PoolSpec], deadline: Instant) -> Result<(), CniError> {
        for spec in specs {
            spec.check()?;
            let pool = self.pool(spec);
            {
                let state = pool.lock();
                if state.knowledge != Knowledge::None && state.book.next_free(spec).is_some() {
                    continue;
                }
                if let Some((at, error)) =
                    state.refused.as_ref().filter(|(at, _)| at.elapsed() < REFUSED_KEPT)
                {
                    tracing::debug!(pool = spec.name, age = ?at.elapsed(), "STATUS is repeated");
                    return Err(error.clone());
                }
            }
            let turn = pool.turn(deadline)?;
            let lacking = Lacking { turn, spec: spec.clone(), need: Need::Address };
            if let Err(error) = self.extend(vec![lacking], deadline) {
                pool.lock().refused = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }
}
