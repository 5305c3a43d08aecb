//! From the maps and programs of an older generation to those of this one.

use aya::maps::{Map, MapData, PerCpuArray};

use super::{Inner, error::Result, links, maps::CounterTable};

impl Inner {
    /// Puts the programs of this generation behind every gate and on every uplink that has been added again, and
    /// removes what is left of the older generation.
    ///
    /// Only now, because both sets of maps are complete: a program that changed earlier would not know the ports that
    /// came later, and lose their packets.
    pub(super) fn finish_migration(&mut self) -> Result<()> {
        self.programs.publish()?;
        for name in std::mem::take(&mut self.pending) {
            links::take_over(&mut self.programs, &self.pins, name)?;
        }
        let old_counters = self.pins.old_maps("COUNTERS");
        if !old_counters.is_empty() {
            let ports = self.ports()?;
            for path in old_counters {
                let old =
                    MapData::from_pin(&path).and_then(Map::from_map_data).and_then(PerCpuArray::try_from);
                // Another layout cannot be read: then counting starts anew.
                if let Ok(old) = old.map(CounterTable::of) {
                    self.inherit(&old, &ports)?;
                }
            }
        }
        self.release_unused_netkits()?;
        self.pins.remove_old()
    }

    fn inherit(&mut self, old: &CounterTable, ports: &[u32]) -> Result<()> {
        for id in ports {
            // A port that the older generation did not have room for has no past.
            let Ok(mut sum) = old.sum(*id) else { continue };
            sum.add(&self.maps.counters.sum(*id)?);
            self.maps.counters.reset(*id, &sum)?;
        }
        Ok(())
    }
}
