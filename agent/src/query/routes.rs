//! `plexusctl routes [POD]`: what the data plane routes, for which interface, and where it is looked up.

use serde::Serialize;

use super::{network_name, pod_name};
use crate::agent::Agent;
use crate::datapath::RouteHop;
use crate::plugin::BoundRoutes;
use crate::record::{Attachment, Record};

/// Most routes of an answer.
const ROUTES_MAX: usize = 20_000;

/// The routes of one interface.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Routes {
    pod: String,
    interface: String,
    network: String,
    table: u32,
    /// The interfaces whose packets are looked up.
    from: Vec<String>,
    /// Prefixes of the table.
    prefixes: usize,
    #[serde(rename = "routes")]
    shown: Vec<Route>,
    /// Routes that had no place in the answer.
    #[serde(rename = "routesLeftOut")]
    left_out: usize,
    /// Whether the data plane has the table for this interface.
    is_in_force: bool,
}

/// One route.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    dst: String,
    /// `unicast`, `blackhole` or `pass`.
    #[serde(rename = "type")]
    kind: &'static str,
    gateway: Option<String>,
    interface: Option<String>,
}

pub(super) fn routes(agent: &Agent, pod: Option<&str>) -> Vec<Routes> {
    let mut left = ROUTES_MAX;
    let mut answer = Vec::new();
    for record in agent.records.all().iter().filter(|record| pod.is_none_or(|pod| is_called(record, pod))) {
        for attachment in &record.attachments {
            if let (Some(port), Some(bound)) = (attachment.port_id, BoundRoutes::of(attachment)) {
                let shown = bound.routes.len().min(left);
                left -= shown;
                answer.push(describe(agent, record, attachment, port, &bound, shown));
            }
        }
    }
    answer.sort_by(|one, other| (&one.pod, &one.interface).cmp(&(&other.pod, &other.interface)));
    answer
}

fn is_called(record: &Record, name: &str) -> bool {
    let is_pods = record.pod.as_ref().is_some_and(|pod| pod.name == name);
    is_pods || pod_name(record) == name || record.container_id == name
}

fn describe(
    agent: &Agent,
    record: &Record,
    attachment: &Attachment,
    port: u32,
    bound: &BoundRoutes,
    shown: usize,
) -> Routes {
    let in_force = agent.datapath.bound_routes(port).ok().flatten();
    let route = |spec: &crate::datapath::RouteSpec| {
        let over = |device: u8| bound.devices.get(usize::from(device)).map(|device| device.name.clone());
        let (kind, gateway, interface) = match spec.hop {
            RouteHop::Pass => ("pass", None, None),
            RouteHop::Blackhole => ("blackhole", None, None),
            RouteHop::OnLink { device } => ("unicast", None, over(device)),
            RouteHop::Gateway { gateway, device } => ("unicast", Some(gateway.to_string()), over(device)),
        };
        Route { dst: spec.dst.to_string(), kind, gateway, interface }
    };
    Routes {
        pod: pod_name(record),
        interface: attachment.ifname.clone(),
        network: network_name(attachment),
        table: bound.table,
        from: bound.from.iter().map(|device| device.name.clone()).collect(),
        prefixes: bound.routes.len(),
        shown: bound.routes.iter().take(shown).map(route).collect(),
        left_out: bound.routes.len() - shown,
        is_in_force: in_force == Some((bound.table, bound.ifindexes())),
    }
}
