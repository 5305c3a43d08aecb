//! GC: release what the runtime does not know any more.

use std::collections::HashSet;

use plexus_cni::json::typed;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

use super::chain::{Chain, join};
use super::del;
use super::plan;
use super::readiness;
use super::request::Request;
use super::taken_over;
use crate::record::{Attachment, Owner, Record};

#[derive(Deserialize)]
struct Valid {
    #[serde(rename = "cni.dev/valid-attachments")]
    attachments: Option<Vec<ValidAttachment>>,
}

#[derive(Deserialize)]
struct ValidAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

/// Removes every attachment of this network that is not listed; goes on after an error, and reports all (C113).
pub(super) fn gc(request: &Request<'_>) -> Result<(), CniError> {
    readiness::wait(request)?;
    let seen = complete(request);
    tracing::info!(network = request.config.name, "GC came");
    let _alone = request.agent.locks.collection();
    let valid: Valid = typed(&request.config.document, "GC config")?;
    let valid = valid.attachments.ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "GC needs key \"cni.dev/valid-attachments\"")
            .because("an absent list does not mean an empty one: nothing was removed")
    })?;
    let mut valid: Vec<(String, String)> =
        valid.into_iter().map(|entry| (entry.container_id, entry.ifname)).collect();
    // The runtime made its list before these were added (C119).
    valid.extend(complete(request).difference(&seen).cloned());
    let mut outcome = Ok(());
    for record in request.agent.records.all() {
        let stale = |attachment: &Attachment| {
            plan::is_of_network(request, attachment)
                && !valid
                    .iter()
                    .any(|(id, ifname)| *id == record.container_id && ifname == asked_for(attachment))
        };
        if record.attachments.iter().any(stale)
            && let Err(error) = del::remove(request, &record, stale)
        {
            outcome = Err(join(outcome, error));
        }
    }
    if request.is_meta()
        && let Err(error) = taken_over::gc(request, &valid)
    {
        outcome = Err(join(outcome, error));
    }
    // What no record knows is for the plugins to find; of a pod's own networks the runtime's config says nothing.
    for attachment in plan::for_status(request)? {
        let valid = with_recorded(request, &attachment.network, &valid);
        if let Err(error) = Chain::new(request, "", &attachment, None).and_then(|chain| chain.gc(&valid)) {
            outcome = Err(join(outcome, error));
        }
    }
    outcome
}

/// The interface name that the runtime asked for.
fn asked_for(attachment: &Attachment) -> &str {
    match &attachment.owner {
        Owner::Meta { ifname } => ifname,
        Owner::Single { .. } => &attachment.ifname,
    }
}

/// Container and interface name of what is attached to this network; an ADD in progress is not.
fn complete(request: &Request<'_>) -> HashSet<(String, String)> {
    let records = request.agent.records.all();
    let of_record = |record: &Record| -> Vec<(String, String)> {
        let done = record.attachments.iter().filter(|attachment| attachment.is_complete());
        let ours = done.filter(|attachment| plan::is_of_network(request, attachment));
        ours.map(|attachment| (record.container_id.clone(), asked_for(attachment).to_owned())).collect()
    };
    records.iter().flat_map(|record| of_record(record)).collect()
}

/// `valid`, and what records hold of this network, whoever asked for it: a pod's annotation may name it, too.
fn with_recorded(request: &Request<'_>, network: &str, valid: &[(String, String)]) -> Vec<(String, String)> {
    let mut all = valid.to_vec();
    for record in request.agent.records.all() {
        for attachment in record.attachments.iter().filter(|attachment| attachment.network == network) {
            let held = (record.container_id.clone(), attachment.ifname.clone());
            if !all.contains(&held) {
                all.push(held);
            }
        }
    }
    all
}
