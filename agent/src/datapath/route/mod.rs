//! Routes that the data plane enforces: tables of prefixes, and the ports that ask them.
//!
//! ```text
//!   ROUTE_PORTS[port] ─▶ table, devices     ROUTE_TABLES[table] ─▶ generation, slot     ROUTES_V4/V6[slot] ─▶ trie ─▶ NEXT_HOPS
//! ```
//! A change builds new tries beside those in use and writes the table's word: one write, for both families.

mod hops;
mod spec;
mod tables;

use std::{
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    sync::{MutexGuard, PoisonError},
};

use plexus_abi::{MAX_ROUTE_DEVICES, RoutePort};

pub use self::spec::{RouteGate, RouteHop, RouteSpec};
pub(super) use self::tables::Routes;
use super::{
    Datapath,
    error::{DatapathError, Result},
    filter::{Filters, Place},
    hook::Hook,
};

impl Datapath {
    /// Makes a table hold exactly these routes, all or nothing: a packet sees the old table or the new one. The same
    /// routes again change nothing. Of several routes to one prefix the last counts. Blocks for the time that building
    /// takes, 100,000 prefixes some 300 ms, without holding up packets or other calls.
    pub fn set_routes(&self, table: u32, routes: &[RouteSpec]) -> Result<()> {
        self.routes().set(table, routes)
    }

    /// Removes a table: packets of ports that still ask it go as their pod's own routes say. Idempotent.
    pub fn remove_routes(&self, table: u32) -> Result<()> {
        self.routes().remove(table)
    }

    /// Removes every table that is not among `known`: a process that died left it.
    pub fn keep_routes(&self, known: &[u32]) -> Result<()> {
        self.routes().keep(known)
    }

    /// Makes the packets that a port's gates see follow a table. `devices` are the ifindexes in the pod of the interfaces
    /// that the table's hops name by their place, 0 for one that is not there.
    pub fn bind_routes(&self, port: u32, table: u32, devices: [u32; MAX_ROUTE_DEVICES]) -> Result<()> {
        self.lock().bind_routes(port, RoutePort { table, devices })
    }

    /// Ends what [`bind_routes`](Self::bind_routes) began; idempotent.
    pub fn unbind_routes(&self, port: u32) -> Result<()> {
        self.lock().bind_routes(port, RoutePort::ZERO)
    }

    /// The table and devices of a port, if it has routes.
    pub fn bound_routes(&self, port: u32) -> Result<Option<(u32, [u32; MAX_ROUTE_DEVICES])>> {
        self.lock().bound_routes(port)
    }

    /// Puts a gate on an interface in the pod, so that what leaves it is looked up; idempotent.
    pub fn add_route_gate(&self, gate: &RouteGate<'_>) -> Result<()> {
        let inner = self.lock();
        let place = gate.place()?;
        let program = inner.programs.fd("route_gate")?.as_fd().as_raw_fd();
        let filters = gate.filters()?;
        let attached = filters
            .prepare(gate.ifindex)
            .and_then(|()| filters.set(gate.ifindex, place, Hook::Route.as_str(), program));
        attached.map_err(|error| DatapathError::Attach {
            hook: Hook::Route,
            ifindex: gate.ifindex,
            reason: error.to_string(),
        })
    }

    /// Takes a gate away; one that is gone, or whose interface is, is fine.
    pub fn remove_route_gate(&self, gate: &RouteGate<'_>) -> Result<()> {
        gate.filters()?.remove(gate.ifindex, gate.place()?).map_err(|source| DatapathError::Device {
            action: "remove the route gate",
            ifindex: gate.ifindex,
            source,
        })
    }

    /// Whether our gate stands on the interface.
    pub fn has_route_gate(&self, gate: &RouteGate<'_>) -> Result<bool> {
        let own = self.lock().programs.info("route_gate")?.tag();
        Ok(gate.filters()?.tag(gate.ifindex, gate.place()?).is_ok_and(|tag| tag == own))
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // A panic elsewhere left at worst a generation that nobody uses yet.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl super::Inner {
    fn bind_routes(&mut self, port: u32, routes: RoutePort) -> Result<()> {
        self.in_range(port)?;
        self.maps.route_ports.set(port, routes)
    }

    fn bound_routes(&self, port: u32) -> Result<Option<(u32, [u32; MAX_ROUTE_DEVICES])>> {
        self.in_range(port)?;
        let RoutePort { table, devices } = self.maps.route_ports.get(port)?;
        Ok((table != plexus_abi::NO_TABLE).then_some((table, devices)))
    }

    fn in_range(&self, port: u32) -> Result<()> {
        if port < self.max_ports {
            return Ok(());
        }
        let reason = format!("the id is not below max_ports ({}); raise max_ports", self.max_ports);
        Err(DatapathError::Port { port, reason })
    }
}

impl RouteGate<'_> {
    fn place(&self) -> Result<Place> {
        let class = u16::try_from(self.port).map_err(|_| DatapathError::Port {
            port: self.port,
            reason: "its id does not fit a filter's class; lower max_ports to 65536".into(),
        })?;
        Ok(Place::of_route(self.port, class))
    }

    fn filters(&self) -> Result<Filters> {
        over(self.socket)
    }
}

fn over(socket: BorrowedFd<'_>) -> Result<Filters> {
    Filters::over(socket).map_err(|source| DatapathError::Socket { source })
}
