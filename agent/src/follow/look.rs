//! One look at all records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use plexus_cni::CniError;
use plexus_cni::pod::Pod;

use super::PERIOD;
use super::inputs::{Inputs, config};
use super::wanted::wanted;
use crate::agent::Agent;
use crate::attach;
use crate::cluster::{Catalog, PodKey};
use crate::netlink::Netlink;
use crate::record::{Attachment, Owner, Record};
use crate::status::Event;

/// What was seen of each container, so that only what changed is compared.
#[derive(Default)]
pub(super) struct Follower {
    seen: BTreeMap<String, Seen>,
}

struct Seen {
    inputs: Inputs,
    /// When what failed is tried again.
    retry_at: Option<Instant>,
}

impl Follower {
    /// Brings every container to what its networks and its pod say; whether nothing is left to be tried soon.
    pub(super) fn look(&mut self, agent: &Agent, catalog: &Catalog, host: &Netlink) -> bool {
        let records = agent.records.all();
        let ids: BTreeSet<&str> = records.iter().map(|record| &*record.container_id).collect();
        self.seen.retain(|id, _| ids.contains(&**id));
        agent.refusals.retain(|id| ids.contains(id));
        let mut is_done = true;
        for record in records.iter().filter(|record| record.boot_id == agent.boot_id) {
            let id = &record.container_id;
            let inputs = Inputs::of(catalog, record);
            let begun = Instant::now();
            let is_due = |seen: &Seen| seen.retry_at.is_some_and(|at| at <= begun);
            if self.seen.get(id).is_some_and(|seen| seen.inputs.is_as(&inputs) && !is_due(seen)) {
                continue;
            }
            let retry_at = match follow(agent, host, record, &inputs) {
                Followed::All => None,
                Followed::Failed => Some(begun + PERIOD / 2),
                Followed::Busy => {
                    is_done = false;
                    continue;
                }
            };
            self.seen.insert(id.clone(), Seen { inputs, retry_at });
        }
        is_done
    }
}

/// How far a container came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// It is as it should be, or never will be with what it follows now.
    All,
    /// Something failed that may work another time.
    Failed,
    /// Another call has it.
    Busy,
}

/// Changes the container's attachments that are not as they should be; each for itself.
fn follow(agent: &Agent, host: &Netlink, record: &Record, inputs: &Inputs) -> Followed {
    let is_affected = |index| !matches!(plan(record, index, inputs), Ok(None));
    if !(0..record.attachments.len()).any(is_affected) {
        record.attachments.iter().for_each(|one| agent.refusals.clear(&record.container_id, &one.ifname));
        return Followed::All;
    }
    let Ok(_ours) = agent.locks.container(&record.container_id, Instant::now()) else {
        return Followed::Busy;
    };
    let mut followed = Followed::All;
    for index in 0..record.attachments.len() {
        let Some(now) = agent.records.get(&record.container_id) else { return Followed::All };
        let is_as_planned = now.attachments.len() == record.attachments.len()
            && now.attachments[index].is_same(&record.attachments[index]);
        if !is_as_planned {
            return Followed::Busy;
        }
        let (attachment, pod) = (&now.attachments[index], inputs.pod.as_deref());
        match plan(&now, index, inputs) {
            Ok(None) => agent.refusals.clear(&now.container_id, &attachment.ifname),
            Err(error) => refuse(agent, &now, attachment, pod, &error),
            Ok(Some(wanted)) => match attach::change(agent, host, &now, index, &wanted) {
                Ok(()) => tell(agent, &now, attachment, pod),
                Err(error) => {
                    refuse(agent, &now, attachment, pod, &error);
                    followed = Followed::Failed;
                }
            },
        }
    }
    followed
}

/// The attachment as it should be, if it is not.
fn plan(record: &Record, index: usize, inputs: &Inputs) -> Result<Option<Attachment>, CniError> {
    let attachment = &record.attachments[index];
    // A call for one plugin has no source beside its own config; an ADD that has not ended will have it.
    if !attachment.is_complete() || !matches!(attachment.owner, Owner::Meta { .. }) {
        return Ok(None);
    }
    let config = inputs.networks.get(index).and_then(|network| config(network.as_ref()));
    wanted(attachment, config, inputs.pod.as_deref())
}

fn tell(agent: &Agent, record: &Record, attachment: &Attachment, pod: Option<&Pod>) {
    agent.refusals.clear(&record.container_id, &attachment.ifname);
    tracing::info!(
        container = record.container_id,
        interface = attachment.ifname,
        network = attachment.network,
        "a running interface follows a change of its network or pod"
    );
    if let Some(pod) = pod {
        agent.publisher.tell(Event::changed(key(pod), attachment));
    }
}

fn refuse(agent: &Agent, record: &Record, attachment: &Attachment, pod: Option<&Pod>, error: &CniError) {
    let (container, ifname) = (&record.container_id, &attachment.ifname);
    if !agent.refusals.put(container, ifname, &error.to_string()) {
        return;
    }
    tracing::warn!(container, interface = ifname, %error, "a running interface stays as it is");
    if let Some(pod) = pod {
        agent.publisher.tell(Event::unchanged(key(pod), attachment, error));
    }
}

fn key(pod: &Pod) -> PodKey {
    PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}
