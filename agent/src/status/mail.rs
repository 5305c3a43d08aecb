//! Events on their way: a bounded queue, and the thread that sends them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::event::Event;
use super::journal::{Entry, Journal};
use crate::cluster::{ApiError, ApiErrorKind, Writer};

/// Events that may wait; of more the oldest are dropped. A node that starts 500 pods at once makes about a thousand.
const WAITING_MAX: usize = 2048;
/// Pause between two events: no more than 50 a second, whatever happens on the node.
const PACE: Duration = Duration::from_millis(20);
/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Attempts for one event, where nobody answers.
const ATTEMPTS_MAX: u32 = 4;
/// Pause before another attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The queue.
#[derive(Default)]
pub(super) struct Mail {
    waiting: Mutex<VecDeque<(Event, SystemTime)>>,
    added: Condvar,
}

impl Mail {
    /// Puts an event at the end; never waits.
    pub(super) fn put(&self, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
            tracing::warn!("{WAITING_MAX} events wait for the API server; the oldest is dropped");
        }
        waiting.push_back((event, SystemTime::now()));
        self.added.notify_one();
    }

    /// Takes the first one, or waits for it.
    pub(super) fn take(&self) -> (Event, SystemTime) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = waiting.pop_front() {
                return next;
            }
            waiting = self.added.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Sends what comes, for ever.
pub(super) fn run(mail: &Mail, writer: &dyn Writer) {
    let mut journal = Journal::default();
    loop {
        let (event, at) = mail.take();
        deliver(&mut journal, &event, at, writer, FIRST_PAUSE);
        std::thread::sleep(PACE);
    }
}

/// Sends one event; one that cannot be sent is dropped, and said so in the log.
fn deliver(journal: &mut Journal, event: &Event, at: SystemTime, writer: &dyn Writer, mut pause: Duration) {
    for _ in 0..ATTEMPTS_MAX {
        let outcome = match journal.enter(event, at) {
            Entry::Counted => return,
            Entry::Create(made) => writer.create_event(&made, Instant::now() + ATTEMPT),
            Entry::Repeat(made) => writer.repeat_event(&made, Instant::now() + ATTEMPT),
        };
        let Err(error) = outcome else { return };
        // It was not made, or is there no longer: the next attempt makes it.
        journal.lost(event);
        if !error.kind.is_passing() && error.kind != ApiErrorKind::NotFound {
            return dropped(event, &error);
        }
        if error.kind != ApiErrorKind::NotFound {
            std::thread::sleep(pause);
            pause *= 2;
        }
    }
    tracing::warn!(reason = event.reason, message = event.message, "an event is dropped: nobody answers");
}

fn dropped(event: &Event, error: &ApiError) {
    let pod = format!("{}/{}", event.pod.namespace, event.pod.name);
    tracing::warn!(pod, reason = event.reason, %error, advice = error.advice(), "an event is dropped");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cluster::{PodEvent, PodKey};

    /// Answers as it is told, in order, then well; notes what was asked.
    #[derive(Default)]
    struct Script {
        answers: Mutex<Vec<ApiErrorKind>>,
        asked: Mutex<Vec<&'static str>>,
    }

    impl Script {
        fn answer(&self, what: &'static str) -> Result<(), ApiError> {
            self.asked.lock().unwrap().push(what);
            match self.answers.lock().unwrap().pop() {
                None => Ok(()),
                Some(kind) => {
                    Err(ApiError { kind, verb: "create", resource: "events", status: 0, why: "w".into() })
                }
            }
        }
    }

    impl Writer for Script {
        fn annotate(&self, _: &PodKey, _: &str, _: &str, _: Instant) -> Result<(), ApiError> {
            self.answer("annotate")
        }

        fn uid_now(&self, _: &PodKey, _: Instant) -> Result<Option<String>, ApiError> {
            self.answer("uid").map(|()| None)
        }

        fn create_event(&self, _: &PodEvent, _: Instant) -> Result<(), ApiError> {
            self.answer("create")
        }

        fn repeat_event(&self, _: &PodEvent, _: Instant) -> Result<(), ApiError> {
            self.answer("repeat")
        }
    }

    fn event() -> Event {
        let pod = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        Event { pod, is_warning: false, reason: "R", message: "m".into() }
    }

    fn asked(answers: &[ApiErrorKind], times: &[u64]) -> Vec<&'static str> {
        let script = Script { answers: Mutex::new(answers.to_vec()), ..Script::default() };
        let mut journal = Journal::default();
        for second in times {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(*second);
            deliver(&mut journal, &event(), at, &script, Duration::ZERO);
        }
        script.asked.into_inner().unwrap()
    }

    #[test]
    fn an_event_is_made_once_and_then_counted() {
        assert_eq!(asked(&[], &[0, 1, 10]), ["create", "repeat"]);
    }

    #[test]
    fn an_event_that_nobody_takes_is_tried_a_few_times_and_a_refused_one_once() {
        use ApiErrorKind::{Denied, Unreachable};
        assert_eq!(asked(&[Unreachable], &[0]), ["create", "create"]);
        assert_eq!(asked(&[Unreachable; 9], &[0]).len(), 4);
        assert_eq!(asked(&[Denied], &[0]), ["create"]);
    }

    #[test]
    fn an_event_that_expired_in_the_api_server_is_made_again() {
        let script = Script::default();
        let mut journal = Journal::default();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        deliver(&mut journal, &event(), at(0), &script, Duration::ZERO);
        script.answers.lock().unwrap().push(ApiErrorKind::NotFound);
        deliver(&mut journal, &event(), at(60), &script, Duration::ZERO);
        assert_eq!(*script.asked.lock().unwrap(), ["create", "repeat", "create"]);
    }

    #[test]
    fn a_full_queue_drops_the_oldest() {
        let mail = Mail::default();
        for index in 0..WAITING_MAX + 2 {
            mail.put(Event { message: index.to_string(), ..event() });
        }
        assert_eq!(mail.take().0.message, "2");
    }
}
