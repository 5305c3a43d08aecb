//! The data plane: ports, networks, policers and counters in eBPF. The only room that knows aya.
//!
//! ```text
//!            ┌────────── host ───────────────────────────────┐   ┌──── pod ─────┐
//!   wire ──▶ │ uplink: XDP uplink_xdp ─────── devmap ────────┼──▶│ eth (GRO on) │   fastpath, unicast
//!            │         tcx uplink_tc  ── redirect / clones ──┼──▶│              │   fastpath, the rest
//!            │ veth N: port_gate ▶ port_tc ◀─────────────────┼───│              │
//!            │   ├──▶ redirect_peer to another pod           │   │              │
//!            │   └──▶ VLAN push, redirect ──▶ uplink ──▶ wire│   │              │
//!            │ veth N: tap_*_gate ▶ tap_tx, tap_rx  (bridge) │   │ tap_*_gate ▶ tap_* (macvlan)
//!            └───────────────────────────────────────────────┘   └──────────────┘
//! ```
//!
//! Port N's device has the ifindex `PORT_IFINDEX_BASE + N`, which is how a program knows its port. On it stands a
//! gate, a tc filter that calls the program behind it through one map; a new agent changes that map, and every port
//! of the node has the new program. Uplinks are few and have links with pins instead. Maps that hold what ports and
//! networks are are pinned too: everything outlives the agent.

mod capture;
mod counters;
pub mod device;
pub mod edge;
mod error;
mod filter;
mod hook;
mod hosts;
mod links;
pub mod load;
pub mod maps;
mod members;
mod migrate;
mod netkit;
mod netlink;
mod networks;
mod pins;
mod policer;
mod ports;
mod route;
mod shaping;
mod sight;
mod spec;
mod state;
mod stations;
mod sys;
mod uplink_gate;
mod xdp_features;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use plexus_abi::MAX_PORTS_LIMIT;
pub use plexus_abi::{MAX_ROUTE_DEVICES, port_ifindex};

pub use self::{
    capture::CaptureTotals,
    counters::PortCounters,
    error::{DatapathError, Result},
    hook::Hook,
    route::{RouteGate, RouteHop, RouteSpec},
    shaping::ShapeGate,
    sight::{Limits, Seen, Sight},
    spec::{
        DatapathOptions, Forwarding, Guard, Mode, NetworkSpec, PolicerSpec, PortKind, PortSpec, XdpChoice,
    },
    state::{HookState, NetworkState, PortState},
};
use self::{filter::Filters, hook::LinkName, load::Programs, maps::Maps, pins::Pins, route::Routes};

/// The data plane of this node. All calls block for micro- to milliseconds and may come from any thread that is in
/// the host's network namespace.
pub struct Datapath {
    inner: Mutex<Inner>,
    /// Apart from the rest: a large table takes a while to build, and no ADD waits for it.
    routes: Mutex<Routes>,
}

/// What the lock guards: programs are attached and multi-map changes made by one caller at a time.
struct Inner {
    programs: Programs,
    /// Filters on devices of the host.
    filters: Filters,
    maps: Maps,
    pins: Pins,
    max_ports: u32,
    /// Whether uplinks get tcx links; otherwise gates.
    has_tcx: bool,
    /// Links that an older generation's programs still serve.
    pending: BTreeSet<LinkName>,
    /// Why an uplink has no XDP.
    xdp_refusals: BTreeMap<u32, String>,
}

impl Datapath {
    /// Loads the programs once, reuses the pinned maps, makes every gate on this node lead to the new programs, and
    /// replaces those of the uplinks' pinned links: traffic goes on meanwhile.
    ///
    /// Where pins of another generation exist (another ABI or `max_ports`), their programs and maps go on working.
    /// Add all networks and [`restore_port`](Self::restore_port) all ports, which fills the new maps, then call
    /// [`finish_migration`](Self::finish_migration), which replaces the programs.
    pub fn open(options: &DatapathOptions) -> Result<Self> {
        let max_ports = options.max_ports;
        if max_ports == 0 || max_ports > MAX_PORTS_LIMIT {
            return Err(DatapathError::MaxPorts { max_ports, limit: MAX_PORTS_LIMIT });
        }
        let pins = Pins::open(options)?;
        let filters = Filters::open().map_err(|source| DatapathError::Socket { source })?;
        let (mut programs, maps, routes) = Programs::load(&pins, max_ports)?;
        for name in pins.links()? {
            links::adopt(&mut programs, &pins, name)?;
        }
        if !pins.has_old() {
            programs.publish()?;
        }
        let inner = Inner {
            programs,
            filters,
            maps,
            pins,
            max_ports,
            has_tcx: options.tcx,
            pending: BTreeSet::new(),
            xdp_refusals: BTreeMap::new(),
        };
        let datapath = Self { inner: Mutex::new(inner), routes: Mutex::new(routes) };
        // Whoever looked through an agent that died looks no more.
        datapath.sight()?.close()?;
        datapath.lock().end_captures()?;
        Ok(datapath)
    }

    /// Eyes for single frames. One at a time reads the ring; who that is, the caller sees to.
    pub fn sight(&self) -> Result<Sight> {
        Sight::open(&self.lock().pins)
    }

    /// Has a port's frames written to the ring, at most `bytes_wanted` of each, until
    /// [`end_capture`](Self::end_capture). XDP leaves the port's frames to tc meanwhile.
    pub fn begin_capture(&self, id: u32, bytes_wanted: u32) -> Result<()> {
        self.lock().begin_capture(id, bytes_wanted)
    }

    /// What a capture has written and lost so far; nothing if the port is not captured, or has gone meanwhile.
    pub fn capture_totals(&self, id: u32) -> Result<Option<CaptureTotals>> {
        self.lock().capture_totals(id)
    }

    /// Ends a capture; idempotent, and works when the port is gone.
    pub fn end_capture(&self, id: u32) -> Result<()> {
        self.lock().end_capture(id)
    }

    /// Adds a network or changes its uplink and VLAN; attaches to the uplink once, whoever shares it.
    pub fn upsert_network(&self, network: &NetworkSpec) -> Result<()> {
        self.lock().upsert_network(network)
    }

    /// Removes a network without ports; idempotent. The uplink's programs go with its last network.
    pub fn remove_network(&self, id: u32) -> Result<()> {
        self.lock().remove_network(id)
    }

    /// Adds a port: policers, anti-spoofing, programs, forwarding. Idempotent for the same specification; what a
    /// failed call had done is taken back.
    pub fn add_port(&self, port: &PortSpec<'_>) -> Result<()> {
        self.lock().add_port(port)
    }

    /// As [`add_port`](Self::add_port), for a port that an earlier agent has added: after a restart, or to migrate.
    /// Devices inside pods are not touched unless `socket` is given.
    pub fn restore_port(&self, port: &PortSpec<'_>) -> Result<()> {
        self.lock().restore_port(port)
    }

    /// Removes everything about a port; idempotent, and works when its device is already gone.
    pub fn remove_port(&self, id: u32) -> Result<()> {
        self.lock().remove_port(id)
    }

    /// Lets go of the netkit pair that a removed port had, once its device is gone: sooner, the kernel would detach in its
    /// own time, under the RTNL lock. Idempotent.
    pub fn release_netkit(&self, id: u32) -> Result<()> {
        self.lock().pins.remove_netkit(port_ifindex(id))
    }

    /// Changes a port's limits; nothing means no limit. Traffic that a limit holds back is not forgiven.
    pub fn set_policers(
        &self,
        id: u32,
        ingress: Option<PolicerSpec>,
        egress: Option<PolicerSpec>,
    ) -> Result<()> {
        self.lock().set_policers(id, ingress, egress)
    }

    /// Whether what a port's pod sends above its limit gets a time to leave instead of being dropped: fq must stand on the
    /// port's own device then, in the pod.
    pub fn set_shaped(&self, id: u32, is_shaped: bool) -> Result<()> {
        self.lock().set_shaped(id, is_shaped)
    }

    /// Changes the addresses that a port may send from.
    pub fn set_addresses(&self, id: u32, ips: &[IpAddr]) -> Result<()> {
        self.lock().set_addresses(id, ips)
    }

    /// A port's counters, summed over the CPUs.
    pub fn counters(&self, id: u32) -> Result<PortCounters> {
        self.lock().counters(id)
    }

    /// What the kernel has for a port. A device inside a pod is not looked at.
    pub fn port_state(&self, id: u32) -> Result<PortState> {
        self.lock().port_state(id, None)
    }

    /// What the kernel has for a port, its device in the pod included; `socket` is a NETLINK_ROUTE socket opened there.
    pub fn port_state_in(&self, id: u32, socket: BorrowedFd<'_>) -> Result<PortState> {
        self.lock().port_state(id, Some(socket))
    }

    /// Ids of all ports that the maps hold, ascending.
    pub fn ports(&self) -> Result<Vec<u32>> {
        self.lock().ports()
    }

    /// All networks that the maps hold, by ascending id.
    pub fn networks(&self) -> Result<Vec<NetworkState>> {
        self.lock().networks()
    }

    /// Forgets stations that were silent for their network's ageing time, and counts those behind each port anew. Call it
    /// every some seconds; without a network that learns it costs one read.
    pub fn age_stations(&self) -> Result<()> {
        self.lock().age_stations()
    }

    /// Detaches from uplinks that no network uses: a process that died left them.
    pub fn release_unused_uplinks(&self) -> Result<()> {
        self.lock().release_unused_uplinks()
    }

    /// Ends the move from another generation: what was added again goes on with this one's programs and its old
    /// counters, what was not is detached. Without another generation it does nothing, so call it at every start.
    pub fn finish_migration(&self) -> Result<()> {
        self.lock().finish_migration()
    }

    /// Detaches and removes everything, for an uninstall. The value is of no use afterwards.
    pub fn remove_all(&self) -> Result<()> {
        let mut inner = self.lock();
        for id in inner.ports()? {
            inner.remove_port(id)?;
        }
        for ifindex in inner.gated_uplinks()? {
            inner.ungate_uplink(ifindex)?;
        }
        inner.pins.remove_all()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere left at worst a half-added port, which remove_port and the next start repair.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
