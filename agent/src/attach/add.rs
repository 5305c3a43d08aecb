//! ADD: validate all, write the intent, act in order, undo in reverse.

use plexus_cni::default_route::DefaultRoutePlan;
use plexus_cni::status::of_attachment;
use plexus_cni::{CniError, Code};
use serde_json::{Value, json};

use super::chain::{Chain, join};
use super::default_route;
use super::del;
use super::device;
use super::plan;
use super::publish;
use super::readiness;
use super::request::Request;
use crate::cluster::Found;
use crate::record::{Attachment, Owner, PodRef, RECORD_VERSION, Record};
use crate::status::Published;

/// Attaches what the call means; the answer is the result for the runtime.
pub(super) fn add(request: &Request<'_>) -> Result<Value, CniError> {
    let mut found = None;
    let outcome = readiness::wait(request).and_then(|()| {
        let _ours = request.agent.locks.container(&request.call.container_id, request.deadline)?;
        attach_all(request, &mut found)
    });
    let outcome = outcome.map_err(|error| publish::name_pod(request, error));
    publish::tell(request, found.as_ref(), outcome.as_ref().map(|(_, made)| &**made));
    outcome.map(|(result, _)| result)
}

/// The result for the runtime, and what was attached; `found` is the pod as soon as it is known.
fn attach_all(
    request: &Request<'_>,
    found: &mut Option<Found>,
) -> Result<(Value, Vec<Attachment>), CniError> {
    let mut record = begin(request)?;
    let first = record.attachments.len();
    let mut planned = plan::add(request, &record, found)?;
    plan::reserve_ports(request, &mut planned.attachments)?;
    record.attachments.extend(planned.attachments);
    record.pod = planned.pod.or(record.pod);
    let intended = validate(request, &record, first).and_then(|()| request.agent.records.put(record.clone()));
    let outcome = intended
        .map_err(|error| Failure { error, is_clean: true })
        .and_then(|()| attach(request, &mut record, first, &planned.default_routes))
        .and_then(|()| {
            publish::status(request, &record, found.as_ref())
                .map_err(|error| undo_all(request, &record, first, Failure { error, is_clean: true }))
        });
    match outcome {
        Ok(published) => {
            let result = result(request, &record, first)?;
            let made = record.attachments[first..].to_vec();
            request.agent.records.put(record)?;
            if published == Published::Later {
                request.agent.publisher.later(&request.call.container_id);
            }
            Ok((result, made))
        }
        Err(failure) => Err(forget(request, record, first, failure)),
    }
}

/// Why an ADD failed, and whether nothing of it is left.
struct Failure {
    error: CniError,
    is_clean: bool,
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
                format!(
                    "container {} has interface {} on network {}",
                    known.container_id, done.ifname, done.network
                ),
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

/// Runs chain after chain; on failure those before are undone.
fn attach(
    request: &Request<'_>,
    record: &mut Record,
    first: usize,
    default_routes: &[DefaultRoutePlan],
) -> Result<(), Failure> {
    for index in first..record.attachments.len() {
        let attachment = record.attachments[index].clone();
        let chain = Chain::new(request, &record.container_id, &attachment, request.sandbox.as_ref())
            .map_err(|error| Failure { error, is_clean: index == first })?;
        let port = attachment.port_id.and_then(|id| record.port(id).cloned());
        match chain.add(port) {
            Ok(made) => {
                record.attachments[index].result = Some(made.result.to_value(attachment.cni_version()));
                record.attachments[index].notes = made.notes;
                if let Some(port) = made.port {
                    record.set_port(index, port);
                }
            }
            Err(error) => {
                let failure =
                    Failure { error: error.within(chain.describe()), is_clean: !chain.is_unclean() };
                return Err(undo(request, record, first, index, failure));
            }
        }
    }
    let finished = default_route::apply(request, &mut record.attachments[first..], default_routes)
        .and_then(|()| write_status(request, &mut record.attachments[first..]));
    finished.map_err(|error| undo_all(request, record, first, Failure { error, is_clean: true }))
}

/// The elements of network-status.
fn write_status(request: &Request<'_>, attachments: &mut [Attachment]) -> Result<(), CniError> {
    for attachment in
        attachments.iter_mut().filter(|attachment| matches!(attachment.owner, Owner::Meta { .. }))
    {
        let result = attachment.cni_result()?.unwrap_or_default();
        let name = attachment.nad.as_ref().unwrap_or(&attachment.network);
        let info = device::info(request, attachment);
        let elements = of_attachment(name, &attachment.ifname, &result, attachment.is_default, info.as_ref());
        attachment.status = elements.iter().map(|element| json!(element)).collect();
    }
    Ok(())
}

/// Undoes all attachments from `first`, in reverse.
fn undo_all(request: &Request<'_>, record: &Record, first: usize, failure: Failure) -> Failure {
    undo(request, record, first, record.attachments.len(), failure)
}

/// Undoes the attachments from `first` to `failed`, in reverse.
fn undo(
    request: &Request<'_>,
    record: &Record,
    first: usize,
    failed: usize,
    mut failure: Failure,
) -> Failure {
    for attachment in record.attachments[first..failed].iter().rev() {
        let port = attachment.port_id.and_then(|id| record.port(id));
        let chain = Chain::new(request, &record.container_id, attachment, request.sandbox.as_ref());
        if let Err(second) = chain.and_then(|chain| chain.del(port)) {
            failure = Failure { error: join(Err(failure.error), second), is_clean: false };
        }
    }
    failure
}

/// Takes the failed call's attachments out of the record again, unless something of them is left: the DEL that follows
/// a failed ADD then finds it there.
fn forget(request: &Request<'_>, mut record: Record, first: usize, failure: Failure) -> CniError {
    if !failure.is_clean {
        return failure.error;
    }
    let failed = record.attachments.split_off(first);
    match request.agent.records.put(record) {
        Ok(()) => {
            plan::release_ports(request, &failed);
            failure.error
        }
        Err(second) => join(Err(failure.error), second),
    }
}

/// What the runtime gets: the default network's result in the version of its config.
fn result(request: &Request<'_>, record: &Record, first: usize) -> Result<Value, CniError> {
    let made = &record.attachments[first..];
    let default = made.iter().find(|attachment| attachment.is_default).or(made.first());
    let result = default.map(Attachment::cni_result).transpose()?.flatten().unwrap_or_default();
    Ok(result.to_value(request.config.version))
}
