//! From the maps and programs of an older generation to those of this one.

use std::collections::BTreeSet;

use aya::maps::{Map, MapData, PerCpuArray};

use super::{Inner, error::Result, hook::LinkName, links, maps::CounterTable};

impl Inner {
    /// Replaces the programs of the older generation on every device whose port or network has been added again, and
    /// removes what is left of that generation.
    ///
    /// Only now, because both sets of maps are complete: a program that changed earlier would not know the ports that
    /// came later, and lose their packets.
    pub(super) fn finish_migration(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut ports = BTreeSet::new();
        for name in pending {
            links::take_over(&mut self.programs, &self.pins, name)?;
            if let LinkName::Port { id, .. } = name {
                ports.insert(id);
            }
        }
        for path in self.pins.old_maps("COUNTERS") {
            let old = MapData::from_pin(&path).and_then(Map::from_map_data).and_then(PerCpuArray::try_from);
            // Another layout cannot be read: then counting starts anew.
            let Ok(old) = old.map(CounterTable::of) else { continue };
            for id in &ports {
                // A port that the older generation did not have room for has no past.
                let Ok(mut sum) = old.sum(*id) else { continue };
                sum.add(&self.maps.counters.sum(*id)?);
                self.maps.counters.reset(*id, sum)?;
            }
        }
        self.pins.remove_old()
    }
}
