//! The maps, typed.

use std::{io, os::fd::AsFd as _};

use aya::{
    Ebpf, Pod,
    maps::{Array, DevMap, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use plexus_abi::{
    Capture, Counters, FdbEntry, FdbKey, HostKey, Members, MembersKey, NetworkConfig, PolicerConfig,
    PolicerState, PortConfig, RoutePort, Station, UplinkEntry, UplinkKey,
};

use super::{
    error::{DatapathError, Result, map_error},
    pins::Pins,
    sys,
};
use crate::fault;

/// Addresses per port on networks that route, on average; a port may have more while others have fewer.
const HOSTS_PER_PORT: u32 = 4;

/// Every map of a generation and its entries per port; 0 where the object says how many.
pub const MAPS: [(&str, u32); 23] = [
    ("PORTS", 1),
    ("COUNTERS", 1),
    ("POLICERS", 2),
    ("POLICER_STATES", 2),
    ("SHAPERS", 1),
    ("SHAPER_STATES", 1),
    ("DEVICES", 1),
    ("FDB", 1),
    ("HOSTS", HOSTS_PER_PORT),
    ("STATIONS", 0),
    ("STATION_COUNTS", 1),
    ("NETWORKS", 0),
    ("UPLINKS", 0),
    ("MEMBERS", 0),
    ("WATCH", 0),
    ("SAMPLE_BUDGETS", 0),
    ("CAPTURES", 0),
    (SEEN, 0),
    ("ROUTE_PORTS", 1),
    ("ROUTE_TABLES", 0),
    (ROUTES_V4, 0),
    (ROUTES_V6, 0),
    ("NEXT_HOPS", 0),
];

/// The ring of frames that somebody looks at.
pub const SEEN: &str = "SEEN";

/// The map of the tries of IPv4 prefixes.
pub(super) const ROUTES_V4: &str = "ROUTES_V4";
/// The map of the tries of IPv6 prefixes.
pub(super) const ROUTES_V6: &str = "ROUTES_V6";

/// The map behind the gates, which belongs to no generation.
pub const PROGRAMS: &str = "PROGRAMS";

/// Handles of all maps.
pub(super) struct Maps {
    pub(super) ports: Table<PortConfig>,
    pub(super) counters: CounterTable,
    pub(super) policers: Table<PolicerConfig>,
    pub(super) policer_states: Table<PolicerState>,
    pub(super) shapers: Table<PolicerConfig>,
    pub(super) shaper_states: Table<PolicerState>,
    pub(super) devices: Devices,
    pub(super) fdb: Index<FdbKey, FdbEntry>,
    pub(super) hosts: Index<HostKey, FdbEntry>,
    pub(super) stations: Index<FdbKey, Station>,
    pub(super) station_counts: Table<u64>,
    pub(super) networks: Index<u32, NetworkConfig>,
    pub(super) uplinks: Index<UplinkKey, UplinkEntry>,
    pub(super) members: Index<MembersKey, Members>,
    pub(super) captures: PerCpuHashMap<MapData, u32, Capture>,
    pub(super) route_ports: Table<RoutePort>,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self> {
        let devices = MapData::from_pin(pins.map("DEVICES")).map_err(map_error("DEVICES", "open"))?;
        Ok(Self {
            ports: Table::take(ebpf, "PORTS")?,
            counters: CounterTable { map: take(ebpf, "COUNTERS")? },
            policers: Table::take(ebpf, "POLICERS")?,
            policer_states: Table::take(ebpf, "POLICER_STATES")?,
            shapers: Table::take(ebpf, "SHAPERS")?,
            shaper_states: Table::take(ebpf, "SHAPER_STATES")?,
            devices: Devices { map: take(ebpf, "DEVICES")?, handle: devices },
            fdb: Index::take(ebpf, "FDB")?,
            hosts: Index::take(ebpf, "HOSTS")?,
            stations: Index::take(ebpf, "STATIONS")?,
            station_counts: Table::take(ebpf, "STATION_COUNTS")?,
            networks: Index::take(ebpf, "NETWORKS")?,
            uplinks: Index::take(ebpf, "UPLINKS")?,
            members: Index::take(ebpf, "MEMBERS")?,
            captures: take(ebpf, "CAPTURES")?,
            route_ports: Table::take(ebpf, "ROUTE_PORTS")?,
        })
    }
}

pub(super) fn take<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<M> {
    let unusable = |reason: String| DatapathError::Object { what: "map", name, reason };
    let map = ebpf.take_map(name).ok_or_else(|| unusable("it is missing".into()))?;
    M::try_from(map).map_err(|error| unusable(error.to_string()))
}

/// An array by port or policer index.
pub(super) struct Table<V: Pod> {
    name: &'static str,
    map: Array<MapData, V>,
}

impl<V: Pod> Table<V> {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self> {
        Ok(Self { name, map: take(ebpf, name)? })
    }

    pub(super) fn get(&self, index: u32) -> Result<V> {
        self.map.get(&index, 0).map_err(map_error(self.name, "read"))
    }

    pub(super) fn set(&mut self, index: u32, value: V) -> Result<()> {
        self.map.set(index, value, 0).map_err(map_error(self.name, "change"))?;
        fault::point();
        Ok(())
    }
}

/// A hash map.
pub(super) struct Index<K: Pod, V: Pod> {
    name: &'static str,
    map: HashMap<MapData, K, V>,
}

impl<K: Pod, V: Pod> Index<K, V> {
    fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self> {
        Ok(Self { name, map: take(ebpf, name)? })
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>> {
        match self.map.get(key, 0) {
            Ok(value) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(map_error(self.name, "read")(error)),
        }
    }

    pub(super) fn set(&mut self, key: &K, value: &V) -> Result<()> {
        self.map.insert(key, value, 0).map_err(map_error(self.name, "change"))?;
        fault::point();
        Ok(())
    }

    /// Removes an entry; a missing one is fine.
    pub(super) fn remove(&mut self, key: &K) -> Result<()> {
        match self.map.remove(key) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(MapError::KeyNotFound) | Ok(()) => Ok(()),
            Err(error) => Err(map_error(self.name, "change")(error)),
        }
    }

    pub(super) fn entries(&self) -> Result<Vec<(K, V)>> {
        self.map.iter().collect::<std::result::Result<_, _>>().map_err(map_error(self.name, "list"))
    }

    pub(super) fn keys(&self) -> Result<Vec<K>> {
        self.map.keys().collect::<std::result::Result<_, _>>().map_err(map_error(self.name, "list"))
    }
}

/// Counters by port, per CPU.
pub(super) struct CounterTable {
    map: PerCpuArray<MapData, Counters>,
}

impl CounterTable {
    pub(super) const fn of(map: PerCpuArray<MapData, Counters>) -> Self {
        Self { map }
    }

    /// The port's counters, summed over the CPUs.
    pub(super) fn sum(&self, port: u32) -> Result<Counters> {
        let mut sum = Counters::ZERO;
        for counters in self.map.get(&port, 0).map_err(map_error("COUNTERS", "read"))?.iter() {
            sum.add(counters);
        }
        Ok(sum)
    }

    /// Starts the port's counters at `start`.
    pub(super) fn reset(&mut self, port: u32, start: &Counters) -> Result<()> {
        let failed = map_error("COUNTERS", "change");
        let cpus = nr_cpus().map_err(|(_, error)| failed(MapError::from(error)))?;
        let mut values = vec![Counters::ZERO; cpus];
        if let Some(first) = values.first_mut() {
            *first = *start;
        }
        let values =
            PerCpuValues::try_from(values).map_err(|error: io::Error| failed(MapError::from(error)))?;
        self.map.set(port, values, 0).map_err(failed)
    }
}

/// Where XDP sends frames for a port.
pub(super) struct Devices {
    map: DevMap<MapData>,
    /// The same map once more: aya's DevMap has no removal and does not lend its descriptor.
    handle: MapData,
}

impl Devices {
    pub(super) fn set(&mut self, port: u32, ifindex: u32) -> Result<()> {
        self.map.set(port, ifindex, None, 0).map_err(map_error("DEVICES", "change"))?;
        fault::point();
        Ok(())
    }

    /// Whether the port's entry leads to this device.
    pub(super) fn holds(&self, port: u32, ifindex: u32) -> Result<bool> {
        match self.map.get(port, 0) {
            Ok(entry) => Ok(entry.if_index == ifindex),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(map_error("DEVICES", "read")(error)),
        }
    }

    /// Removes the entry; a missing one is fine.
    pub(super) fn remove(&mut self, port: u32) -> Result<()> {
        sys::delete_entry(self.handle.fd().as_fd(), port).map_err(map_error("DEVICES", "change"))
    }
}
