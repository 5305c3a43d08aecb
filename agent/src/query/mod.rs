//! Answers for people: what plexusctl asks.

mod counters;
mod explain;
mod ipam;
mod networks;
mod placement;
mod pods;
mod ports;
mod routes;
mod source;
mod status;

use plexus_cni::CniError;
use plexus_cni::wire::Query;
use serde::Serialize;
use serde_json::Value;

use crate::agent::Agent;
use crate::record::{Attachment, Record};

/// Answers one question with a document that is stable (docs/plexusctl.md).
pub fn answer(agent: &Agent, question: &Query) -> Result<Value, CniError> {
    match question {
        Query::Status => document(&status::status(agent)),
        Query::Pods => document(&pods::pods(agent)),
        Query::Ports => document(&ports::ports(agent)),
        Query::Counters => document(&counters::counters(agent)),
        Query::Networks => document(&networks::networks(agent)),
        Query::Routes { pod } => document(&routes::routes(agent, pod.as_deref())),
        Query::Ipam { pool } => document(&ipam::ipam(agent, pool.as_deref())?),
        Query::Explain { pod } => document(&explain::explain(agent, pod)?),
    }
}

fn document<T: Serialize>(answer: &T) -> Result<Value, CniError> {
    serde_json::to_value(answer).map_err(|error| {
        CniError::new(plexus_cni::Code::Internal, "the answer cannot be encoded").because(error.to_string())
    })
}

/// `namespace/name`, or the container id where the runtime named no pod.
pub(crate) fn pod_name(record: &Record) -> String {
    match &record.pod {
        Some(pod) => format!("{}/{}", pod.namespace, pod.name),
        None => record.container_id.clone(),
    }
}

/// The NetworkAttachmentDefinition, or the CNI network's name.
pub(crate) fn network_name(attachment: &Attachment) -> String {
    attachment.nad.clone().unwrap_or_else(|| attachment.network.clone())
}

/// Whether a person means this container: `namespace/name`, `name` or the container's id.
pub(crate) fn is_meant(record: &Record, name: &str) -> bool {
    let full = pod_name(record);
    full == name || record.container_id == name || full.rsplit('/').next() == Some(name)
}

/// The plugin types of an attachment's chain.
fn plugin_types(attachment: &Attachment) -> Vec<String> {
    let name = |config: &serde_json::Map<String, Value>| config.get("type")?.as_str().map(str::to_owned);
    match attachment.config.get("plugins").and_then(Value::as_array) {
        Some(plugins) => plugins.iter().filter_map(|plugin| name(plugin.as_object()?)).collect(),
        None => name(&attachment.config).into_iter().collect(),
    }
}
