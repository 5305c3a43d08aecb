//! Handing addresses out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use plexus_cni::{CniError, Code};

use super::Slices;
use super::claim::{Lacking, Need};
use super::lease::Lease;
use super::pool::{Pool, Taken};
use super::spec::PoolSpec;

/// Most times that an address is looked for after slices were taken: others take addresses as well.
const ROUNDS_MAX: u32 = 16;

/// One address of one range.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The range.
    pub spec: PoolSpec,
    /// The address that was asked for, if one was.
    pub wanted: Option<IpAddr>,
}

impl Slices {
    /// Holds one address for each wish, in their order: all of them or none. An interface that holds one already keeps
    /// it. Where this node's slices have room that is done without a request.
    pub fn acquire(
        &self,
        wishes: &[Wish],
        lease: &Lease,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, CniError> {
        let mut pools: Vec<(Arc<Pool>, &Wish)> = Vec::with_capacity(wishes.len());
        for wish in wishes {
            wish.spec.check()?;
            if pools.iter().any(|(_, other)| other.spec.name == wish.spec.name) {
                return Err(CniError::new(
                    Code::InvalidConfig,
                    format!("range {} is given twice", wish.spec.range),
                )
                .because("an interface gets one address of each range in fast mode"));
            }
            pools.push((self.pool(&wish.spec), wish));
        }
        let mut new = Vec::new();
        let outcome = self.acquire_all(&pools, lease, deadline, &mut new);
        outcome.map_err(|error| {
            let failed = new.iter().filter_map(|pool| {
                pool.release(&lease.container_id, &lease.ifname)
                    .err()
                    .map(|second| format!("; then {second}"))
            });
            let details = failed.fold(error.details.clone(), |all, second| all + &second);
            error.because(details)
        })
    }

    fn acquire_all(
        &self,
        pools: &[(Arc<Pool>, &Wish)],
        lease: &Lease,
        deadline: Instant,
        new: &mut Vec<Arc<Pool>>,
    ) -> Result<Vec<IpAddr>, CniError> {
        let mut given: Vec<Option<IpAddr>> = vec![None; pools.len()];
        for round in 0..ROUNDS_MAX {
            let mut lacking: Vec<(&Pool, &Wish)> = Vec::new();
            for ((pool, wish), given) in pools.iter().zip(&mut given).filter(|(_, given)| given.is_none()) {
                match pool.take(&wish.spec, lease, wish.wanted)? {
                    Taken::Held { address, is_new, is_low } => {
                        *given = Some(address);
                        if is_new {
                            new.push(Arc::clone(pool));
                            self.counters.allocated.count();
                            self.unsynced.ring();
                        }
                        if is_low {
                            self.bell.ring();
                        }
                    }
                    Taken::NeedsSlice => lacking.push((pool, wish)),
                }
            }
            if let Some(all) = given.iter().copied().collect::<Option<Vec<IpAddr>>>() {
                return Ok(all);
            }
            if round == 0 {
                self.counters.waited.count();
            }
            // In the order of their names, so that two calls never wait for each other.
            lacking.sort_by(|(_, one), (_, other)| one.spec.name.cmp(&other.spec.name));
            let with_turns = lacking.into_iter().map(|(pool, wish)| {
                let need = wish.wanted.map_or(Need::Address, Need::This);
                Ok(Lacking { turn: pool.turn(deadline)?, spec: wish.spec.clone(), need })
            });
            let lacking: Vec<Lacking> = with_turns.collect::<Result<_, CniError>>()?;
            self.extend(lacking, deadline)?;
        }
        Err(CniError::new(Code::TryAgain, format!("no address stayed free in {ROUNDS_MAX} looks"))
            .because("many pods start at the same time; it is tried again"))
    }
}
