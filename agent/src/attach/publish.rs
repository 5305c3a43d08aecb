//! What an ADD tells the cluster: the pod's network-status, and events.

use plexus_cni::CniError;

use super::Request;
use crate::cluster::{Found, PodId, PodKey};
use crate::record::{Attachment, Record};
use crate::status::{Event, Published};

/// Writes the pod's network-status, then looks once more, in the cache: a pod that was deleted or replaced meanwhile
/// must not be told of a success, as nobody would detach it.
pub(super) fn status(
    request: &Request<'_>,
    record: &Record,
    found: Option<&Found>,
) -> Result<Published, CniError> {
    let (Some(id), Some(catalog), Some(found)) = (PodId::of(&request.args), &request.agent.catalog, found)
    else {
        return Ok(Published::Now);
    };
    catalog.confirm(&id, found)?;
    let published = request.agent.publisher.write(record, &key(id, Some(found)), request.deadline)?;
    catalog.confirm(&id, found)?;
    Ok(published)
}

/// Sends the events of an ADD that has ended.
pub(super) fn tell(request: &Request<'_>, found: Option<&Found>, outcome: Result<&[Attachment], &CniError>) {
    let Some(id) = PodId::of(&request.args).filter(|_| request.is_meta()) else { return };
    let publisher = &request.agent.publisher;
    match outcome {
        Ok(made) => {
            for attachment in made {
                publisher.tell(Event::added(key(id, found), attachment));
            }
        }
        Err(error) => publisher.tell(Event::failed(key(id, found), error)),
    }
}

/// The error, with the pod in front unless it is named already.
pub(super) fn name_pod(request: &Request<'_>, error: CniError) -> CniError {
    let Some(id) = PodId::of(&request.args).filter(|_| request.is_meta()) else { return error };
    let pod = format!("pod {}/{}", id.namespace, id.name);
    if error.msg.contains(&pod) { error } else { error.within(pod) }
}

/// The pod as the API server knows it; a static one has another UID there than with the runtime.
fn key(id: PodId<'_>, found: Option<&Found>) -> PodKey {
    let uid = found.map(|found| &*found.pod.uid).filter(|uid| !uid.is_empty()).or(id.uid);
    PodKey {
        namespace: id.namespace.to_owned(),
        name: id.name.to_owned(),
        uid: uid.unwrap_or_default().to_owned(),
    }
}
