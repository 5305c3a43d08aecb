//! Learnt stations: forgetting and counting. Learning itself is the programs' work.

use std::collections::BTreeMap;

use plexus_abi::{FdbKey, NETWORK_LEARNS, OUTSIDE, Station};

use super::{
    Inner,
    error::{Result, map_error},
};

impl Inner {
    /// Whether a network learns.
    pub(super) fn learns(&self, network: u32) -> Result<bool> {
        let config = self.maps.networks.get(&network)?;
        Ok(config.is_some_and(|config| config.flags & NETWORK_LEARNS != 0))
    }

    /// How many stations of a network are known.
    pub(super) fn count_stations(&self, network: u32) -> Result<usize> {
        Ok(self.maps.stations.keys()?.iter().filter(|key| key.network == network).count())
    }

    /// Forgets the stations that `is_gone` names.
    pub(super) fn forget_stations(&mut self, is_gone: impl Fn(&FdbKey, &Station) -> bool) -> Result<()> {
        for (key, station) in self.maps.stations.entries()? {
            if is_gone(&key, &station) {
                self.maps.stations.remove(&key)?;
            }
        }
        Ok(())
    }

    /// Forgets what was silent too long; then the programs' counts, which only grow, are set right.
    pub(super) fn age_stations(&mut self) -> Result<()> {
        let ageing_s: BTreeMap<u32, u32> = self
            .maps
            .networks
            .entries()?
            .into_iter()
            .filter(|(_, config)| config.flags & NETWORK_LEARNS != 0)
            .map(|(id, config)| (id, config.ageing_s))
            .collect();
        if ageing_s.is_empty() {
            return Ok(());
        }
        let now_ns = now_ns()?;
        self.forget_stations(|key, station| {
            ageing_s.get(&key.network).is_none_or(|ageing_s| !station.is_fresh(*ageing_s, now_ns))
        })?;
        let mut counts = BTreeMap::new();
        for network in ageing_s.keys() {
            counts.extend(self.ports_of(*network)?.into_iter().map(|port| (port, 0_u64)));
        }
        for (key, station) in self.maps.stations.entries()? {
            // The port's own address is not behind it.
            if station.port != OUTSIDE
                && let Some(count) = counts.get_mut(&station.port)
                && self.maps.ports.get(station.port)?.mac != key.mac
            {
                *count += 1;
            }
        }
        counts.into_iter().try_for_each(|(port, count)| self.maps.station_counts.set(port, count))
    }
}

/// The programs' clock: monotonic nanoseconds.
fn now_ns() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_err(map_error("STATIONS", "read the clock for"))?;
    let seconds = now.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000);
    Ok(seconds.wrapping_add(now.tv_nsec().cast_unsigned()))
}
