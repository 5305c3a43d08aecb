//! What of an attachment's routes is in the data plane, as its record has it.

use std::net::IpAddr;
use std::sync::Arc;

use plexus_abi::MAX_ROUTE_DEVICES;
use plexus_cni::CniError;
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::datapath::{RouteGate, RouteSpec};
use crate::plugin::Sandbox;
use crate::record::{Attachment, Record};

/// An interface of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDevice {
    /// Its name.
    pub name: String,
    /// Its index in the pod.
    pub ifindex: u32,
}

/// The routes of one attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundRoutes {
    /// What makes attachments share a table.
    pub key: String,
    /// The table's number.
    pub table: u32,
    /// What it holds.
    pub routes: Vec<RouteSpec>,
    /// The interfaces that routes lead over, in the order of their numbers; the attachment's own is the first.
    pub devices: Vec<RouteDevice>,
    /// The interfaces whose packets are looked up.
    pub from: Vec<RouteDevice>,
    /// Addresses of those that the attachment's own interface may send from, beside its own.
    pub admitted: Vec<IpAddr>,
}

impl BoundRoutes {
    /// What the plugin wrote down in this attachment's record, if it has such routes.
    pub fn of(attachment: &Attachment) -> Option<Self> {
        let is_ours = |slot: &str| slot.ends_with(":route-override");
        let saved = attachment.notes.saved.iter().find(|(slot, _)| is_ours(slot));
        saved.and_then(|(_, value)| serde_json::from_value(value.clone()).ok())
    }

    /// The indexes of the devices, as the programs have them.
    pub fn ifindexes(&self) -> [u32; MAX_ROUTE_DEVICES] {
        let mut indexes = [0; MAX_ROUTE_DEVICES];
        for (slot, device) in indexes.iter_mut().zip(&self.devices) {
            *slot = device.ifindex;
        }
        indexes
    }
}

/// At the start: puts the routes of all records in force again, and removes tables that no record knows. The gates in the
/// pods stand, unless the data plane was lost altogether.
pub fn restore_routes(agent: &Agent, records: &[Arc<Record>]) -> Result<(), CniError> {
    let mut tables = Vec::new();
    let mut first = Ok(());
    for record in records {
        for attachment in &record.attachments {
            let (Some(port), Some(bound)) = (attachment.port_id, BoundRoutes::of(attachment)) else {
                continue;
            };
            agent.tables.adopt(&bound.key, bound.table, port);
            tables.push(bound.table);
            first = first.and(restore(agent, record, port, &bound));
        }
    }
    first.and(agent.datapath.keep_routes(&tables).map_err(CniError::from))
}

fn restore(agent: &Agent, record: &Record, port: u32, bound: &BoundRoutes) -> Result<(), CniError> {
    let is_lost = agent.datapath.bound_routes(port)?.is_none();
    agent.datapath.set_routes(bound.table, &bound.routes)?;
    agent.datapath.bind_routes(port, bound.table, bound.ifindexes())?;
    let sandbox = record.netns.as_ref().filter(|_| is_lost).and_then(Sandbox::reopen);
    let Some(sandbox) = sandbox else { return Ok(()) };
    for device in &bound.from {
        let gate = RouteGate { port, ifindex: device.ifindex, socket: sandbox.control() };
        agent.datapath.add_route_gate(&gate)?;
    }
    Ok(())
}
