//! ADD: validate all, write the intent, act in order, undo in reverse.

use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::chain::{Chain, join};
use super::del;
use super::plan;
use super::request::Request;
use crate::fault;
use crate::record::{Attachment, PodRef, RECORD_VERSION, Record};

/// Attaches what the call means; the answer is the result for the runtime.
pub(super) fn add(request: &Request<'_>) -> Result<Value, CniError> {
    let sandbox = request.sandbox()?;
    let _ours = request.agent.locks.container(&request.call.container_id, request.deadline)?;
    let mut record = begin(request)?;
    let first = record.attachments.len();
    record.attachments.extend(plan::attachments(request, &record)?);
    let outcome = validate(request, &record, first).and_then(|()| {
        request.agent.records.put(record.clone())?;
        fault::point();
        attach(request, &mut record, first)
    });
    match outcome {
        Ok(()) => {
            record.netns = Some(sandbox.id.clone());
            let result = result(request, &record, first)?;
            request.agent.records.put(record)?;
            fault::point();
            Ok(result)
        }
        Err(error) => Err(forget(request, record, first, error)),
    }
}

/// The container's record before this call; an attachment that a crash left half-done is undone first.
fn begin(request: &Request<'_>) -> Result<Record, CniError> {
    let sandbox = request.sandbox()?;
    let fresh = || Record {
        version: RECORD_VERSION,
        boot_id: request.agent.boot_id.clone(),
        container_id: request.call.container_id.clone(),
        netns: Some(sandbox.id.clone()),
        pod: request.args.pod().map(|(namespace, name)| PodRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: request.args.get("K8S_POD_UID").map(str::to_owned),
        }),
        attachments: Vec::new(),
    };
    let Some(known) = request.agent.records.get(&request.call.container_id) else { return Ok(fresh()) };
    if let Some(done) = known.attachments.iter().find(|attachment| plan::is_of(request, attachment)) {
        if done.is_complete() {
            return Err(CniError::new(
                Code::AlreadyAttached,
                format!("container {} has interface {} on network {}", known.container_id, done.ifname, done.network),
            )
            .because("it was added before; DEL must come between two ADDs"));
        }
        del::remove(request, &known, |attachment| plan::is_of(request, attachment))?;
    }
    Ok(request.agent.records.get(&request.call.container_id).map_or_else(fresh, |record| (*record).clone()))
}

fn validate(request: &Request<'_>, record: &Record, first: usize) -> Result<(), CniError> {
    for attachment in &record.attachments[first..] {
        let chain = Chain::new(request, &record.container_id, attachment, request.sandbox.as_ref())?;
        chain.validate().map_err(|error| error.within(chain.describe()))?;
    }
    Ok(())
}

/// Runs chain after chain; on failure those before are undone, and what could not be undone stays in the record.
fn attach(request: &Request<'_>, record: &mut Record, first: usize) -> Result<(), CniError> {
    for index in first..record.attachments.len() {
        let attachment = record.attachments[index].clone();
        let chain = Chain::new(request, &record.container_id, &attachment, request.sandbox.as_ref())?;
        let port = attachment.port_id.and_then(|id| record.port(id).cloned());
        match chain.add(port) {
            Ok(made) => {
                record.attachments[index].result = Some(made.result.to_value(attachment.cni_version()));
                if let Some(port) = made.port {
                    record.set_port(index, port);
                }
            }
            Err(error) => {
                let error = error.within(chain.describe());
                return Err(undo(request, record, first, index, error));
            }
        }
    }
    Ok(())
}

fn undo(request: &Request<'_>, record: &Record, first: usize, failed: usize, error: CniError) -> CniError {
    let mut outcome = Err(error);
    for attachment in record.attachments[first..failed].iter().rev() {
        let chain = Chain::new(request, &record.container_id, attachment, request.sandbox.as_ref());
        if let Err(second) = chain.and_then(|chain| chain.del(attachment.port.as_ref())) {
            outcome = Err(join(outcome, second));
        }
    }
    outcome.err().unwrap_or_else(|| CniError::new(Code::Internal, "an error was lost while undoing"))
}

/// Takes the failed call's attachments out of the record again.
fn forget(request: &Request<'_>, mut record: Record, first: usize, error: CniError) -> CniError {
    let ids: Vec<u32> = record.attachments[first..].iter().filter_map(Attachment::own_port_id).collect();
    record.attachments.truncate(first);
    match request.agent.records.put(record) {
        Ok(()) => {
            ids.into_iter().for_each(|id| request.agent.ports.give_back(id));
            error
        }
        Err(second) => join(Err(error), second),
    }
}

/// What the runtime gets: the default network's result in the version of its config.
fn result(request: &Request<'_>, record: &Record, first: usize) -> Result<Value, CniError> {
    let made = &record.attachments[first..];
    let default = made.iter().find(|attachment| attachment.is_default).or(made.first());
    let result = default.map(Attachment::cni_result).transpose()?.flatten().unwrap_or_default();
    Ok(result.to_value(request.config.version))
}
