//! Questions to the agent, as plexusctl asks them.

use anyhow::{Context as _, Result};
use plexus_cni::wire::Query;
use serde_json::Value;

use super::stage::Stage;

/// The interface entries of one pod.
pub(super) fn interfaces(stage: &Stage, pod: &str) -> Result<Vec<Value>> {
    let pods = stage.plexusd.ask(&Query::Pods)?;
    let found = rows(&pods)
        .find(|one| one["name"] == pod)
        .with_context(|| format!("the agent knows no pod {pod}"))?;
    Ok(rows(&found["interfaces"]).cloned().collect())
}

/// What a pod's interface on a network received since it was made, as the data plane counted it.
pub(super) fn received_packets(stage: &Stage, pod: &str, network: &str) -> Result<u64> {
    let all = stage.plexusd.ask(&Query::Counters)?;
    let row = row_of(&all, pod, network)?;
    let count = row["counters"]["rxPackets"].as_u64();
    count.with_context(|| format!("the agent has no counters for {pod} on {network}: {row}"))
}

/// The limit of a pod's interface, in bits per second; `direction` is `ingress` or `egress`.
pub(super) fn limit_bps(stage: &Stage, pod: &str, network: &str, direction: &str) -> Result<u64> {
    let all = stage.plexusd.ask(&Query::Ports)?;
    let row = row_of(&all, pod, network)?;
    let limit = row[direction]["rateBps"].as_u64();
    limit.with_context(|| format!("the agent has no {direction} limit for {pod} on {network}: {row}"))
}

/// Items of an array; nothing if it is none.
pub(super) fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn row_of<'a>(all: &'a Value, pod: &str, network: &str) -> Result<&'a Value> {
    let found = rows(all).find(|row| row["pod"] == pod && row["network"] == network);
    found.with_context(|| format!("the agent knows no port of {pod} on {network}"))
}
