//! Whose a port is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use crate::agent::Agent;
use crate::query::{is_meant, network_name, pod_name};

/// How long names are believed, before the records are asked again.
const FRESH: Duration = Duration::from_secs(1);

/// Where a port belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) port: u32,
    pub(super) pod: String,
    pub(super) network: String,
    pub(super) interface: String,
}

/// Ports by id, as the records had them a moment ago.
#[derive(Default)]
pub(super) struct Places {
    known: HashMap<u32, Place>,
    read: Option<Instant>,
}

impl Places {
    pub(super) fn get(&mut self, agent: &Agent, port: u32) -> Option<&Place> {
        if self.read.is_none_or(|read| read.elapsed() >= FRESH) {
            self.known = all(agent, None).into_iter().map(|place| (place.port, place)).collect();
            self.read = Some(Instant::now());
        }
        self.known.get(&port)
    }
}

/// The ports of a pod; none is an error.
pub(super) fn of_pod(agent: &Agent, pod: &str) -> Result<Vec<Place>, CniError> {
    let places = all(agent, Some(pod));
    if places.is_empty() {
        return Err(CniError::new(Code::PodNotFound, format!("no pod {pod} with a port on this node"))
            .because("`plexusctl ports` lists those that have one"));
    }
    Ok(places)
}

fn all(agent: &Agent, pod: Option<&str>) -> Vec<Place> {
    let mut places = Vec::new();
    for record in agent.records.all() {
        if pod.is_some_and(|pod| !is_meant(&record, pod)) {
            continue;
        }
        for attachment in &record.attachments {
            let Some(port) = &attachment.port else { continue };
            places.push(Place {
                port: port.id,
                pod: pod_name(&record),
                network: network_name(attachment),
                interface: attachment.ifname.clone(),
            });
        }
    }
    places
}
