//! `plexusctl explain POD`: everything about one pod, and what is wrong with it.

use plexus_cni::{CniError, Code};
use serde::Serialize;

use super::pods::{Pod, pod};
use super::{is_meant, placement};
use crate::agent::Agent;
use crate::cluster::{PodId, Verdict};
use crate::record::{Attachment, LinkKind, PortKind, Record};

/// One pod, explained.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    pod: Pod,
    findings: Vec<Finding>,
}

/// One thing that is so, and is worth knowing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    interface: String,
    severity: Severity,
    what: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
enum Severity {
    Ok,
    Note,
    Broken,
}

pub(super) fn explain(agent: &Agent, name: &str) -> Result<Explanation, CniError> {
    let records = agent.records.all();
    let record = records.iter().find(|record| is_meant(record, name)).ok_or_else(|| {
        CniError::new(Code::PodNotFound, format!("no pod {name} on this node"))
            .because("`plexusctl pods` lists those that have interfaces")
    })?;
    let gone = pod_is_gone(agent, record);
    let of_each = record.attachments.iter().flat_map(|attachment| findings(agent, record, attachment));
    Ok(Explanation { pod: pod(record), findings: gone.into_iter().chain(of_each).collect() })
}

/// A pod that its source does not have any more, while its container is still here. Nothing is released for that alone.
fn pod_is_gone(agent: &Agent, record: &Record) -> Option<Finding> {
    let (catalog, known) = (agent.catalog.as_ref()?, record.pod.as_ref()?);
    let feed = catalog.pods_feed.state();
    if !feed.is_synced || !feed.is_following || catalog.pods.refused() > 0 {
        return None;
    }
    let id = PodId { namespace: &known.namespace, name: &known.name, uid: known.uid.as_deref() };
    let found = catalog.pods.get(id.namespace, id.name);
    if found.is_some_and(|pod| id.judge(&pod) != Verdict::Other) {
        return None;
    }
    Some(Finding {
        interface: String::new(),
        severity: Severity::Note,
        what: "this node has no such pod any more, or it has ended; the runtime's DEL is awaited".into(),
    })
}

fn findings(agent: &Agent, record: &Record, attachment: &Attachment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |severity, what: String| {
        findings.push(Finding { interface: attachment.ifname.clone(), severity, what });
    };
    if !attachment.is_complete() {
        find(
            Severity::Broken,
            "its ADD was begun and not ended; the runtime's DEL removes what there is".into(),
        );
    }
    if let Some(device) = attachment.device.as_ref().and_then(|record| record.device.as_ref()) {
        find(Severity::Ok, format!("has device {} of resource {}", device.id, device.resource));
    }
    if let Some(why) = agent.refusals.get(&record.container_id, &attachment.ifname) {
        find(Severity::Note, format!("stays as it is, although its network or pod changed: {why}"));
    }
    for lack in &attachment.notes.lacks {
        find(Severity::Note, lack.clone());
    }
    let Some(port) = &attachment.port else {
        if attachment.port_id.is_none() {
            find(Severity::Note, "made by a plugin outside Plexus: it is not counted here".into());
        }
        return findings;
    };
    if let Some(reason) = placement::of(attachment) {
        find(Severity::Ok, format!("its programs stand {reason}"));
    }
    if let PortKind::Fastpath { link, .. } = &port.kind
        && !link.why.is_empty()
    {
        let pair = match link.kind {
            LinkKind::Veth => "veth",
            LinkKind::Netkit => "netkit",
        };
        find(Severity::Ok, format!("connected by {pair}: {}", link.why));
    }
    match agent.datapath.port_state(port.id) {
        Ok(state) => {
            for hook in &state.hooks {
                if hook.is_healthy() {
                    let why = hook.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                    find(Severity::Ok, format!("{} runs as {}{why}", hook.name, hook.mode));
                } else {
                    find(
                        Severity::Broken,
                        format!("{} does not run our program: it was detached or replaced", hook.name),
                    );
                }
            }
            for problem in state.problems {
                find(Severity::Broken, problem);
            }
            for note in state.notes {
                find(Severity::Note, note);
            }
            if state.hooks.is_empty() {
                find(Severity::Broken, "the data plane has no program for it".into());
            }
        }
        Err(error) => find(Severity::Broken, error.to_string()),
    }
    if let Ok(counters) = agent.datapath.counters(port.id) {
        for (reason, packets) in &counters.drops {
            if *packets > 0 {
                find(Severity::Note, format!("{packets} packets dropped: {reason}"));
            }
        }
    }
    findings
}
