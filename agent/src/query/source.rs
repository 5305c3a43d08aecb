//! Where pods and networks come from, and how well that works.

use serde::Serialize;

use crate::agent::Agent;
use crate::cluster::{Feed, Object, Store};

/// The source.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    kind: Kind,
    is_synced: bool,
    pods: Option<Followed>,
    networks: Option<Followed>,
    statuses_waiting: usize,
    api_calls: Vec<ApiCalls>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    None,
    Manifests,
    Cluster,
}

/// The objects of one kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Followed {
    objects: usize,
    uncached: usize,
    is_following: bool,
    heard_ago_s: Option<u64>,
    listed_ago_s: Option<u64>,
    lists: u64,
    failures: u64,
    trouble: Option<String>,
}

/// Calls of one sort.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiCalls {
    verb: &'static str,
    resource: &'static str,
    code: u16,
    count: u64,
}

pub(super) fn source(agent: &Agent) -> Source {
    let catalog = agent.catalog.as_deref();
    let calls = agent.api_calls.all().into_iter();
    Source {
        kind: match (catalog, &agent.api) {
            (None, _) => Kind::None,
            (Some(_), None) => Kind::Manifests,
            (Some(_), Some(_)) => Kind::Cluster,
        },
        is_synced: catalog.is_none_or(crate::cluster::Catalog::is_synced),
        pods: catalog.map(|catalog| followed(&catalog.pods, &catalog.pods_feed)),
        networks: catalog.map(|catalog| followed(&catalog.nads, &catalog.nads_feed)),
        statuses_waiting: agent.publisher.waiting(),
        api_calls: calls
            .map(|(call, count)| ApiCalls {
                verb: call.verb,
                resource: call.resource,
                code: call.code,
                count,
            })
            .collect(),
    }
}

fn followed<T: Object>(store: &Store<T>, feed: &Feed) -> Followed {
    let state = feed.state();
    Followed {
        objects: store.len(),
        uncached: store.refused(),
        is_following: state.is_following,
        heard_ago_s: state.heard_ago.map(|ago| ago.as_secs()),
        listed_ago_s: state.listed_ago.map(|ago| ago.as_secs()),
        lists: state.lists,
        failures: state.failures,
        trouble: state.trouble,
    }
}
