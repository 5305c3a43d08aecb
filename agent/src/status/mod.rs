//! What people see of an ADD: network-status on the pod, and events.
//!
//! ```text
//! ADD ── write ──▶ API server            `--status wait`: before the answer
//!      └─ later ─▶ Pending ─▶ thread     `--status background`, or nobody was there
//!      └─ tell ──▶ Mail ────▶ thread     events: never waited for
//! ```

mod annotation;
mod event;
mod journal;
mod mail;
mod pending;
mod write;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

pub use event::Event;

use self::mail::Mail;
use self::pending::Pending;
use self::write::Outcome;
use crate::agent::Agent;
use crate::cluster::{ApiErrorKind, PodKey, Writer};
use crate::record::Record;
use crate::settings::StatusMode;

/// An ADD waits at most this long for the API server to take the status.
const WAIT: Duration = Duration::from_secs(10);
/// How long ADDs leave the status to the background after nobody answered.
const SILENCE: Duration = Duration::from_secs(15);
/// Pause before a thread that panicked goes on.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Publishes, where there is somewhere to publish to.
#[derive(Default)]
pub struct Publisher {
    mode: StatusMode,
    writer: Option<Arc<dyn Writer>>,
    pending: Pending,
    mail: Mail,
    /// Nobody was there: until then ADDs do not wait to find that out again.
    silent_until: Mutex<Option<Instant>>,
}

/// How an ADD's status stands when its call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is on the pod, or there is none to write.
    Now,
    /// It is to be written once the record is complete: [`Publisher::later`].
    Later,
}

impl Publisher {
    /// A publisher to `writer`; without one, as in standalone mode, it does nothing.
    pub fn new(mode: StatusMode, writer: Option<Arc<dyn Writer>>) -> Self {
        Self { mode, writer, ..Self::default() }
    }

    /// Starts the threads for what is not waited for; what an earlier process left unwritten is written first.
    pub fn start(agent: &Arc<Agent>) -> std::io::Result<()> {
        let (Some(writer), Some(catalog)) = (agent.publisher.writer.clone(), agent.catalog.clone()) else {
            return Ok(());
        };
        let (owner, to) = (Arc::clone(agent), Arc::clone(&writer));
        for_ever("status", move || pending::run(&owner, &catalog, &*to))?;
        let owner = Arc::clone(agent);
        for_ever("events", move || mail::run(&owner.publisher.mail, &*writer))
    }

    /// Writes the network-status of a pod whose attachments are all in `record`.
    ///
    /// Errors, after which the ADD is undone: the pod is gone, or the API server refuses the text. Where nobody
    /// answers, or our role lacks the rule, the pod's networks work all the same: the ADD succeeds, and the status
    /// follows as soon as it can be written.
    pub fn write(&self, record: &Record, pod: &PodKey, deadline: Instant) -> Result<Published, CniError> {
        let Some(writer) = &self.writer else { return Ok(Published::Now) };
        let Some(text) = annotation::text(record) else { return Ok(Published::Now) };
        if self.mode == StatusMode::Background || self.is_silent() {
            return Ok(Published::Later);
        }
        let named = |code, what: &str| {
            CniError::new(code, format!("pod {}/{}: network-status {what}", pod.namespace, pod.name))
        };
        match write::write(&**writer, pod, &text, deadline.min(Instant::now() + WAIT)) {
            Outcome::Written => Ok(Published::Now),
            Outcome::Later(error) => {
                tracing::warn!(
                    pod = %format!("{}/{}", pod.namespace, pod.name), %error, advice = error.advice(),
                    "network-status is written later"
                );
                if error.kind == ApiErrorKind::Unreachable {
                    self.silence(Some(Instant::now() + SILENCE));
                }
                if error.kind == ApiErrorKind::Denied {
                    self.tell(Event::status_unwritten(pod.clone(), &format!("{error}; {}", error.advice())));
                }
                Ok(Published::Later)
            }
            Outcome::PodGone => Err(named(Code::PodNotFound, "cannot be written")
                .because("the pod was deleted or replaced meanwhile; nothing is attached")),
            Outcome::Refused(error) => Err(named(Code::Internal, "is refused")
                .because(format!("{error}; see the pod's other annotations, all of them have 256 KiB"))),
        }
    }

    fn is_silent(&self) -> bool {
        let until = *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn silence(&self, until: Option<Instant>) {
        *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// The container's status is to be written in the background, from its record.
    pub fn later(&self, container_id: &str) {
        if self.writer.is_some() {
            self.pending.add(container_id);
        }
    }

    /// Tells people; never waits. Where the pod's UID is not known nobody would see it, and it is not sent.
    pub fn tell(&self, event: Event) {
        if self.writer.is_some() && !event.pod.uid.is_empty() {
            self.mail.put(event);
        }
    }

    /// Pods whose network-status is still to be written.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }
}

/// A thread whose work starts again if it ends by a panic: nobody would notice that it is missing.
fn for_ever(name: &'static str, work: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let repeat = move || {
        loop {
            if catch_unwind(AssertUnwindSafe(&work)).is_err() {
                tracing::error!(thread = name, "it panicked; this is a defect of plexusd, please report it");
            }
            std::thread::sleep(RESTART_PAUSE);
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(repeat).map(drop)
}

#[cfg(test)]
mod tests;
