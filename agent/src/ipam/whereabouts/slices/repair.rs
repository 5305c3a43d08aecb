//! At the start: make the leases what the records say.

use std::collections::HashSet;
use std::net::IpAddr;

use plexus_cni::CniError;

use super::Slices;
use super::lease::Lease;
use super::spec::PoolSpec;

/// What a record says about an attachment in fast mode.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who holds it.
    pub lease: Lease,
    /// The addresses of its result; none where its ADD was cut off.
    pub addresses: Vec<IpAddr>,
    /// The ranges of its config.
    pub specs: Vec<PoolSpec>,
}

impl Slices {
    /// Frees leases that no record knows, because their ADD was cut off before it, and holds again what a record says and
    /// the file lost. To be called while nobody adds.
    pub fn repair(&self, held: &[Held]) -> Result<(), CniError> {
        let known: HashSet<(&str, &str)> =
            held.iter().map(|held| (&*held.lease.container_id, &*held.lease.ifname)).collect();
        for pool in self.all() {
            let orphans: Vec<Lease> = {
                let state = pool.lock();
                let leases = state.book.leases().values();
                leases
                    .filter(|lease| !known.contains(&(&*lease.container_id, &*lease.ifname)))
                    .cloned()
                    .collect()
            };
            for orphan in orphans {
                tracing::info!(holder = %orphan, "an address that no record knows is freed");
                pool.release(&orphan.container_id, &orphan.ifname)?;
                self.counters.freed.count();
            }
        }
        for held in held {
            for spec in held.specs.iter().filter(|spec| spec.check().is_ok()) {
                self.restore(held, spec)?;
            }
        }
        Ok(())
    }

    fn restore(&self, held: &Held, spec: &PoolSpec) -> Result<(), CniError> {
        let Some(address) = held.addresses.iter().copied().find(|address| spec.range.contains(address))
        else {
            return Ok(());
        };
        let pool = self.pool(spec);
        let mut state = pool.lock();
        match state.book.leases().get(&address) {
            None => {
                tracing::warn!(%address, holder = %held.lease, "an address is held again, as its record says");
                state.hold(address, &held.lease)
            }
            Some(other) => {
                if !other.is_same(&held.lease.container_id, &held.lease.ifname) {
                    tracing::error!(%address, record = %held.lease, lease = %other, "two containers claim one address");
                }
                Ok(())
            }
        }
    }
}
