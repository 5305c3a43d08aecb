//! Events that repeat are one event with a count.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::event::Event;
use crate::cluster::PodEvent;

/// Events remembered, so that their repetition is known.
const KNOWN_MAX: usize = 1024;
/// A repetition after this time is an event of its own.
const MEMORY: Duration = Duration::from_mins(30);
/// A count is written at most this often; what comes between counts with the next.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest part of the pod's name in an event's name; the whole may have 253 bytes.
const POD_NAME_BYTES_MAX: usize = 230;

/// What was told lately.
#[derive(Default)]
pub(super) struct Journal {
    known: HashMap<Event, Known>,
    made: u64,
}

struct Known {
    name: String,
    count: u32,
    first: SystemTime,
    last: SystemTime,
    written: SystemTime,
}

/// What is to be done about an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is new.
    Create(PodEvent),
    /// It repeats one that was made.
    Repeat(PodEvent),
    /// It repeats one whose count was written just now.
    Counted,
}

impl Journal {
    /// Enters an event that happened at `now`.
    pub(super) fn enter(&mut self, event: &Event, now: SystemTime) -> Entry {
        if let Some(known) = self.known.get_mut(event)
            && since(now, known.last) <= MEMORY
        {
            known.count += 1;
            known.last = now;
            if since(now, known.written) < PAUSE {
                return Entry::Counted;
            }
            known.written = now;
            return Entry::Repeat(known.event(event));
        }
        self.forget(now);
        self.made += 1;
        let known = Known { name: self.name(event, now), count: 1, first: now, last: now, written: now };
        let entry = Entry::Create(known.event(event));
        self.known.insert(event.clone(), known);
        entry
    }

    /// The event is not there any more; its next repetition makes it again.
    pub(super) fn lost(&mut self, event: &Event) {
        self.known.remove(event);
    }

    /// Makes room: what is long ago goes, and if that is not enough, the oldest half.
    fn forget(&mut self, now: SystemTime) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        self.known.retain(|_, known| since(now, known.last) <= MEMORY);
        if self.known.len() >= KNOWN_MAX {
            let mut times: Vec<SystemTime> = self.known.values().map(|known| known.last).collect();
            times.sort();
            let middle = times[times.len() / 2];
            self.known.retain(|_, known| known.last > middle);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
    }

    /// As the API's own tools name events: the pod's name and the time, which no other event of this process has.
    fn name(&self, event: &Event, now: SystemTime) -> String {
        let pod = event.pod.name.get(..POD_NAME_BYTES_MAX).unwrap_or(&event.pod.name);
        let at = since(now, SystemTime::UNIX_EPOCH).as_nanos();
        format!("{}.{at:x}{:x}", pod.trim_end_matches(['.', '-']), self.made % 16)
    }
}

impl Known {
    fn event(&self, event: &Event) -> PodEvent {
        PodEvent {
            name: self.name.clone(),
            pod: event.pod.clone(),
            is_warning: event.is_warning,
            reason: event.reason,
            message: event.message.clone(),
            count: self.count,
            first: self.first,
            last: self.last,
        }
    }
}

/// Time that has passed; none where the clock was set back.
fn since(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::PodKey;

    fn event(message: &str) -> Event {
        let pod = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        Event { pod, is_warning: true, reason: "R", message: message.into() }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn what_repeats_is_counted_and_written_at_times() {
        let mut journal = Journal::default();
        let Entry::Create(first) = journal.enter(&event("a"), at(0)) else { panic!("new") };
        assert_eq!(journal.enter(&event("a"), at(1)), Entry::Counted);
        let Entry::Repeat(again) = journal.enter(&event("a"), at(6)) else { panic!("repeated") };
        assert_eq!((again.name, again.count, again.first, again.last), (first.name, 3, at(0), at(6)));
        assert!(matches!(journal.enter(&event("b"), at(6)), Entry::Create(_)));
        assert!(matches!(journal.enter(&event("a"), at(6 + 1801)), Entry::Create(_)));
    }

    #[test]
    fn an_event_that_was_removed_is_made_again() {
        let mut journal = Journal::default();
        journal.enter(&event("a"), at(0));
        journal.lost(&event("a"));
        assert!(matches!(journal.enter(&event("a"), at(1)), Entry::Create(_)));
    }

    #[test]
    fn the_memory_is_bounded_whatever_happens() {
        let mut journal = Journal::default();
        for index in 0..3 * KNOWN_MAX as u64 {
            journal.enter(&event(&index.to_string()), at(index / 100));
            assert!(journal.known.len() <= KNOWN_MAX);
        }
        assert!(matches!(journal.enter(&event("3071"), at(31)), Entry::Counted));
    }

    #[test]
    fn the_name_of_an_event_is_one_that_the_api_server_takes() {
        let mut long = event("a");
        long.pod.name = format!("{}-{}", "a".repeat(229), "b".repeat(23));
        let Entry::Create(made) = Journal::default().enter(&long, at(0)) else { panic!("new") };
        assert!(
            made.name.len() <= 253 && made.name.starts_with(&format!("{}.", "a".repeat(229))),
            "{}",
            made.name
        );
        assert!(made.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
    }
}
