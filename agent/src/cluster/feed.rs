//! How well the cache of one kind follows its source.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a source says about one kind; readers see one moment of it.
#[derive(Default)]
pub struct Feed {
    state: Mutex<State>,
    lists: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    is_synced: bool,
    is_following: bool,
    heard: Option<Instant>,
    listed: Option<Instant>,
    trouble: Option<String>,
}

/// One moment of a [`Feed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// Whether everything was read at least once.
    pub is_synced: bool,
    /// Whether changes are heard of as they happen.
    pub is_following: bool,
    /// Time since the source last said anything.
    pub heard_ago: Option<Duration>,
    /// Time since everything was read.
    pub listed_ago: Option<Duration>,
    /// How often everything was read.
    pub lists: u64,
    /// How often the source failed.
    pub failures: u64,
    /// Why changes are not heard of now.
    pub trouble: Option<String>,
}

impl Feed {
    /// Everything was read.
    pub fn listed(&self) {
        let mut state = self.lock();
        (state.is_synced, state.is_following, state.trouble) = (true, true, None);
        state.listed = Some(Instant::now());
        state.heard = state.listed;
        drop(state);
        self.lists.fetch_add(1, Ordering::Relaxed);
    }

    /// The source spoke, be it only to say that there is nothing new.
    pub fn heard(&self) {
        let mut state = self.lock();
        (state.is_following, state.trouble) = (true, None);
        state.heard = Some(Instant::now());
    }

    /// The source failed; whether that is new.
    pub fn failed(&self, why: String) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let is_new = state.trouble.as_ref() != Some(&why);
        (state.is_following, state.trouble) = (false, Some(why));
        is_new
    }

    /// Whether the source is known to have failed, so that nothing comes by itself.
    pub fn is_broken(&self) -> bool {
        self.lock().trouble.is_some()
    }

    /// How it stands now.
    pub fn state(&self) -> FeedState {
        let state = self.lock();
        FeedState {
            is_synced: state.is_synced,
            is_following: state.is_following,
            heard_ago: state.heard.map(|at| at.elapsed()),
            listed_ago: state.listed.map(|at| at.elapsed()),
            lists: self.lists.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            trouble: state.trouble.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_the_following_but_not_the_sync() {
        let feed = Feed::default();
        assert!(!feed.state().is_synced && !feed.is_broken());
        feed.listed();
        assert!(feed.failed("no route".into()) && !feed.failed("no route".into()));
        let state = feed.state();
        assert!(state.is_synced && !state.is_following && feed.is_broken());
        assert_eq!((state.lists, state.failures, state.trouble.as_deref()), (1, 2, Some("no route")));
        feed.heard();
        assert!(feed.state().is_following && !feed.is_broken());
    }
}
