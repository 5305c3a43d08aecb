//! DEL: everything that the record knows, in reverse; what is unknown is a success.

use plexus_cni::{CniError, Code};

use super::chain::{Chain, join};
use super::plan;
use super::readiness;
use super::request::Request;
use super::taken_over;
use crate::plugin::Sandbox;
use crate::record::{Attachment, NetnsId, Record};

/// Detaches what the call's ADD attached.
pub(super) fn del(request: &Request<'_>) -> Result<(), CniError> {
    let _ours = request.agent.locks.container(&request.call.container_id, request.deadline)?;
    readiness::warn(request);
    match request.agent.records.get(&request.call.container_id) {
        Some(record) if record.attachments.iter().any(|attachment| plan::is_of(request, attachment)) => {
            remove(request, &record, |attachment| plan::is_of(request, attachment))
        }
        _ => without_record(request),
    }
}

/// Undoes the attachments of `record` that `selected` names and takes them out; all errors are reported, and what
/// failed stays for the next DEL.
pub(super) fn remove(
    request: &Request<'_>,
    record: &Record,
    selected: impl Fn(&Attachment) -> bool,
) -> Result<(), CniError> {
    let opened = sandbox_of(request, record);
    let sandbox = opened.as_ref().map_or_else(|| same_sandbox(request, record), Some);
    let mut rest = record.clone();
    let mut outcome = Ok(());
    for index in (0..record.attachments.len()).rev() {
        let attachment = &record.attachments[index];
        if !selected(attachment) {
            continue;
        }
        let port = attachment.port_id.and_then(|id| record.port(id));
        let chain = Chain::new(request, &record.container_id, attachment, sandbox);
        match chain.and_then(|chain| chain.del(port).map_err(|error| error.within(chain.describe()))) {
            Ok(()) => {
                rest.attachments.remove(index);
            }
            Err(error) => outcome = Err(join(outcome, error)),
        }
    }
    let kept: Vec<u32> = rest.attachments.iter().filter_map(Attachment::own_port_id).collect();
    request.agent.records.put(rest)?;
    for id in record.attachments.iter().filter_map(Attachment::own_port_id).filter(|id| !kept.contains(id)) {
        request.agent.ports.give_back(id);
    }
    outcome
}

/// The passed namespace, if it is the one of the ADD: a reused path is not ours to touch (C073).
fn same_sandbox<'a>(request: &'a Request<'_>, record: &Record) -> Option<&'a Sandbox> {
    let passed = request.sandbox.as_ref()?;
    let known: &NetnsId = record.netns.as_ref()?;
    (known.is_same(&passed.id) && record.boot_id == request.agent.boot_id).then_some(passed)
}

/// The namespace that the record names, where the call passed none and the path still leads to it.
fn sandbox_of(request: &Request<'_>, record: &Record) -> Option<Sandbox> {
    if request.sandbox.is_some() || record.boot_id != request.agent.boot_id {
        return None;
    }
    Sandbox::reopen(record.netns.as_ref()?)
}

/// A native plugin cleans up by its config alone: the record may have been lost (C077).
fn without_record(request: &Request<'_>) -> Result<(), CniError> {
    if request.is_meta() {
        return taken_over::del(request);
    }
    let Ok(attachment) = plan::single(request) else { return Ok(()) };
    let chain = Chain::new(request, &request.call.container_id, &attachment, request.sandbox.as_ref());
    match chain.and_then(|chain| chain.del(None)) {
        // ADD refuses such a config too, so there is nothing: a pod must not hang over it (C079).
        Err(error) if matches!(error.code, Code::InvalidConfig | Code::UnsupportedField | Code::Decoding) => {
            tracing::warn!(network = attachment.network, %error, "DEL of what was never added");
            Ok(())
        }
        outcome => outcome,
    }
}
