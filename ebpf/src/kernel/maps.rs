//! The maps. Sizes that depend on the number of ports are set by the agent before loading.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{ArrayOfMaps, LpmTrie},
    macros::{btf_map, map},
    maps::{Array, DevMap, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf},
};
use plexus_abi::{
    CAPTURES_MAX, CachedRoute, Capture, Counters, FdbEntry, FdbKey, HostKey, MAX_NEXT_HOPS,
    MAX_PORTS_DEFAULT, MAX_ROUTE_TABLES, MAX_STATIONS, Members, MembersKey, NetworkConfig, NextHop,
    PROGRAM_SLOTS, PolicerConfig, PolicerState, PortConfig, ROUTE_CACHE_SLOTS, ROUTE_SLOTS, RoutePort,
    SEEN_RING_BYTES, SampleBudget, Station, UplinkEntry, UplinkKey, Watch,
};

const MAX_NETWORKS: u32 = 4096;

/// Ports by id.
#[map]
pub(crate) static PORTS: Array<PortConfig> = Array::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Counters by port id.
#[map]
pub(crate) static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Policers by `policer_index`.
#[map]
pub(crate) static POLICERS: Array<PolicerConfig> = Array::with_max_entries(2 * MAX_PORTS_DEFAULT, 0);

/// Policer states by `policer_index`, apart from the configuration so that a new rate keeps the state.
#[map]
pub(crate) static POLICER_STATES: Array<PolicerState> = Array::with_max_entries(2 * MAX_PORTS_DEFAULT, 0);

/// Shapers at the pod's end of a veth, by port id: apart from the port's policer, which stands behind them on the host.
#[map]
pub(crate) static SHAPERS: Array<PolicerConfig> = Array::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Their states.
#[map]
pub(crate) static SHAPER_STATES: Array<PolicerState> = Array::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Where XDP sends frames for a port, by port id.
#[map]
pub(crate) static DEVICES: DevMap = DevMap::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// The forwarding database.
#[map]
pub(crate) static FDB: HashMap<FdbKey, FdbEntry> = HashMap::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Addresses of pods on networks that route. Not preallocated: most networks do not.
#[map]
pub(crate) static HOSTS: HashMap<HostKey, FdbEntry> =
    HashMap::with_max_entries(MAX_PORTS_DEFAULT, BPF_F_NO_PREALLOC);

/// Where stations were heard, on networks that learn.
#[map]
pub(crate) static STATIONS: LruHashMap<FdbKey, Station> = LruHashMap::with_max_entries(MAX_STATIONS, 0);

/// How many stations were learnt behind a port, by port id; the agent counts anew every 10 s.
#[map]
pub(crate) static STATION_COUNTS: Array<u64> = Array::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// Ports that frames from outside went to lately, by the last byte of the MAC address; no more than where to look first.
#[map]
pub(crate) static UPLINK_HINTS: PerCpuArray<[u32; 256]> = PerCpuArray::with_max_entries(1, 0);

/// Networks by id.
#[map]
pub(crate) static NETWORKS: HashMap<u32, NetworkConfig> = HashMap::with_max_entries(MAX_NETWORKS, 0);

/// Networks by uplink and VLAN.
#[map]
pub(crate) static UPLINKS: HashMap<UplinkKey, UplinkEntry> = HashMap::with_max_entries(MAX_NETWORKS, 0);

/// Broadcast domains. Not preallocated: most networks do not exist, and each takes a kilobyte.
#[map]
pub(crate) static MEMBERS: HashMap<MembersKey, Members> =
    HashMap::with_max_entries(MAX_NETWORKS, BPF_F_NO_PREALLOC);

/// What the gates on the ports' devices lead to; it belongs to no generation.
#[map]
pub(crate) static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(PROGRAM_SLOTS, 0);

/// Who looks at single frames, in slot 0. Read where a frame is dropped or a port is captured, nowhere else.
#[map]
pub(crate) static WATCH: Array<Watch> = Array::with_max_entries(1, 0);

/// What each CPU may still sample, in slot 0.
#[map]
pub(crate) static SAMPLE_BUDGETS: PerCpuArray<SampleBudget> = PerCpuArray::with_max_entries(1, 0);

/// Captures by port id.
#[map]
pub(crate) static CAPTURES: PerCpuHashMap<u32, Capture> = PerCpuHashMap::with_max_entries(CAPTURES_MAX, 0);

/// Frames that somebody looks at, each behind its `SeenHeader`.
#[map]
pub(crate) static SEEN: RingBuf = RingBuf::with_byte_size(SEEN_RING_BYTES, 0);

/// Routes by port id.
#[map]
pub(crate) static ROUTE_PORTS: Array<RoutePort> = Array::with_max_entries(MAX_PORTS_DEFAULT, 0);

/// The word of each table (`route_word`), by its number; 0 for one that is not there.
#[map]
pub(crate) static ROUTE_TABLES: Array<u64> = Array::with_max_entries(MAX_ROUTE_TABLES + 1, 0);

/// IPv4 prefixes and the numbers of their next hops, by the place in a table's word.
#[btf_map]
pub(crate) static ROUTES_V4: ArrayOfMaps<LpmTrie<[u8; 4], u32, 1>, { ROUTE_SLOTS as usize }> =
    ArrayOfMaps::new();

/// The same for IPv6.
#[btf_map]
pub(crate) static ROUTES_V6: ArrayOfMaps<LpmTrie<[u8; 16], u32, 1>, { ROUTE_SLOTS as usize }> =
    ArrayOfMaps::new();

/// Next hops by number.
#[map]
pub(crate) static NEXT_HOPS: Array<NextHop> = Array::with_max_entries(MAX_NEXT_HOPS, 0);

/// What each CPU decided lately.
#[map]
pub(crate) static ROUTE_CACHE: PerCpuArray<CachedRoute> = PerCpuArray::with_max_entries(ROUTE_CACHE_SLOTS, 0);

/// The VLAN of an edge machine in the lower half of slot 0, its service VLAN in the upper.
#[map]
pub(crate) static EDGE_VLAN: Array<u32> = Array::with_max_entries(1, 0);
