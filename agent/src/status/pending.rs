//! Pods whose network-status is still to be written, and the thread that writes it.
//!
//! Nothing of this is kept on disk: the record says what the pod should say, and at the start all records are compared.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plexus_cni::Code;

use super::annotation::{is_written, text};
use super::event::Event;
use super::write::{Outcome, write};
use crate::agent::Agent;
use crate::cluster::{ApiErrorKind, Catalog, Patience, PodId, PodKey, Verdict, Writer};
use crate::record::{NetnsId, Record};

/// One pod's turn may take this long.
const TURN: Duration = Duration::from_secs(10);
/// Pause after a turn that failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Container ids whose pods wait. There are never more than records.
#[derive(Default)]
pub(super) struct Pending {
    containers: Mutex<BTreeSet<String>>,
    added: Condvar,
}

/// How one container's turn ended.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Written, or there is nothing to write any more.
    Over,
    /// To be tried again.
    Again,
    /// To be tried again, and for the others it would be the same.
    NobodyThere,
}

impl Pending {
    /// One more pod waits.
    pub(super) fn add(&self, container_id: &str) {
        self.lock().insert(container_id.to_owned());
        self.added.notify_all();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// All that wait now; with none, the next one is waited for.
    fn next(&self) -> Vec<String> {
        let mut containers = self.lock();
        while containers.is_empty() {
            containers = self.added.wait(containers).unwrap_or_else(PoisonError::into_inner);
        }
        containers.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what waits, for ever.
pub(super) fn run(agent: &Agent, catalog: &Catalog, writer: &dyn Writer) {
    let pending = &agent.publisher.pending;
    agent.records.all().iter().for_each(|record| pending.add(&record.container_id));
    let mut pause = FIRST_PAUSE;
    loop {
        let mut has_failed = false;
        for container_id in pending.next() {
            // Taken out first: what is added meanwhile is another turn.
            pending.lock().remove(&container_id);
            let outcome = turn(agent, catalog, writer, &container_id);
            if outcome == Turn::Over {
                continue;
            }
            pending.add(&container_id);
            has_failed = true;
            if outcome == Turn::NobodyThere {
                break;
            }
        }
        if has_failed {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            pause = FIRST_PAUSE;
        }
    }
}

/// Asking the source without waiting for it to tell.
fn now() -> Patience {
    Patience { until: Instant::now(), places: 0, deadline: Instant::now() + TURN }
}

fn turn(agent: &Agent, catalog: &Catalog, writer: &dyn Writer, container_id: &str) -> Turn {
    let Some(record) = agent.records.get(container_id) else { return Turn::Over };
    let Some(text) = text(&record) else { return Turn::Over };
    if record.netns.as_ref().is_some_and(NetnsId::is_gone) || record.boot_id != agent.boot_id {
        return Turn::Over;
    }
    let pod = match wanted(catalog, &record) {
        Ok(pod) => pod,
        Err(turn) => return turn,
    };
    match write(writer, &pod, &text, Instant::now() + TURN) {
        Outcome::Written => {
            agent.publisher.silence(None);
            tracing::info!(pod = %format!("{}/{}", pod.namespace, pod.name), "network-status was written later");
            Turn::Over
        }
        Outcome::PodGone => Turn::Over,
        Outcome::Refused(error) => {
            tracing::error!(pod = %format!("{}/{}", pod.namespace, pod.name), %error, "network-status cannot be written");
            agent.publisher.tell(Event::status_unwritten(pod, &error.to_string()));
            Turn::Over
        }
        Outcome::Later(error) if error.kind == ApiErrorKind::Unreachable => Turn::NobodyThere,
        Outcome::Later(_) => Turn::Again,
    }
}

/// The record's pod, if it is still there and does not say already what the record says.
fn wanted(catalog: &Catalog, record: &Record) -> Result<PodKey, Turn> {
    let Some(known) = &record.pod else { return Err(Turn::Over) };
    let id = PodId { namespace: &known.namespace, name: &known.name, uid: known.uid.as_deref() };
    if !catalog.pods_feed.state().is_synced {
        return Err(Turn::NobodyThere);
    }
    let pod = match catalog.pods.get(id.namespace, id.name).filter(|pod| id.judge(pod) == Verdict::Wanted) {
        Some(pod) => pod,
        // It may be one that the watch has not brought yet.
        None => match catalog.pod(&id, &now()) {
            Ok(found) => found.pod,
            Err(error) if error.code == Code::PodNotFound => return Err(Turn::Over),
            Err(_) => return Err(Turn::NobodyThere),
        },
    };
    if is_written(&pod, record) {
        return Err(Turn::Over);
    }
    Ok(PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() })
}
