//! One pool as all workers of this agent share it: known from the last answer, changed by one request for all who wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::backoff::Backoff;
use super::choose::lowest_free;
use super::crowd::Crowd;
use super::range::Range;
use super::wish::{Judgement, Wish};
use crate::cluster::{Allocation, ApiError, ApiErrorKind, IpPool, PoolChange, PoolStore};

/// Most wishes that one request carries.
const BATCH_MAX: usize = 128;
/// Longest time of one request.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Most failures in a row before somebody gives up; with the waits between them some 3 s.
const FAILURES_MAX: u32 = 6;
/// For how long an address that somebody outside of this pool reserved is passed over.
const PASSED_OVER: Duration = Duration::from_secs(30);
/// Most addresses that are passed over at a time; beyond it they are found again, one by one.
const PASSED_OVER_MAX: usize = 4096;

/// How a wish ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The pool is as wished.
    Granted,
    /// The address is another's.
    Lost(Allocation),
}

/// A pool of the cluster in this agent.
pub struct SharedPool {
    name: String,
    network: IpNet,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The last answer, and when its request began.
    known: Option<(Arc<IpPool>, Instant)>,
    /// Whether somebody talks to the API server about this pool.
    is_busy: bool,
    waiting: VecDeque<(u64, Wish)>,
    ended: BTreeMap<u64, Result<Outcome, ApiError>>,
    tickets: u64,
    claimed: BTreeSet<u128>,
    passed_over: BTreeMap<u128, Instant>,
    backoff: Backoff,
    crowd: Crowd,
    retries: u64,
}

/// An address that this agent is about to take; no other worker chooses it until this is dropped.
pub struct Claim<'a> {
    pool: &'a SharedPool,
    /// The address.
    pub offset: u128,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.pool.lock().claimed.remove(&self.offset);
    }
}

impl SharedPool {
    /// The pool of `network` under this name; nothing is asked yet.
    pub fn new(name: String, network: IpNet) -> Self {
        Self { name, network, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pool as the last answer showed it; nothing is asked.
    pub fn known(&self) -> Option<Arc<IpPool>> {
        self.lock().known.as_ref().map(|(pool, _)| Arc::clone(pool))
    }

    /// How often a change was tried again, because others were quicker or the API server failed.
    pub fn retries(&self) -> u64 {
        self.lock().retries
    }

    /// The pool as the last answer showed it, if that was asked for at or after `since`; else it is read.
    /// `None`: there is no such pool, and it is not made for this.
    pub fn look(
        &self,
        store: &dyn PoolStore,
        since: Option<Instant>,
        deadline: Instant,
    ) -> Result<Option<Arc<IpPool>>, ApiError> {
        let mut state = self.lock();
        loop {
            match &state.known {
                Some((pool, at)) if since.is_none_or(|since| *at >= since) => {
                    return Ok(Some(Arc::clone(pool)));
                }
                _ => {}
            }
            if !state.is_busy {
                break;
            }
            state = self.wait(state, deadline, "get")?;
        }
        state.is_busy = true;
        drop(state);
        let (begun, read) = (Instant::now(), self.read(store, false, deadline));
        let mut state = self.lock();
        state.is_busy = false;
        self.changed.notify_all();
        let pool = read?.map(Arc::new);
        state.known = pool.clone().map(|pool| (pool, begun));
        Ok(pool)
    }

    /// Chooses a free address of `pool` that no other worker has chosen, apart from `avoid`.
    pub fn claim(&self, pool: &IpPool, range: &Range, avoid: &BTreeSet<u128>) -> Option<Claim<'_>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = Instant::now();
        state.passed_over.retain(|_, until| *until > now);
        let mut avoid = avoid.clone();
        avoid.extend(&state.claimed);
        avoid.extend(state.passed_over.keys());
        // After lost races the choice spreads, or all agents would go on to want the same address.
        let skip = state.backoff.chance(state.crowd.places());
        let skip = usize::try_from(skip).unwrap_or_default();
        let offset = lowest_free(range, &pool.allocations, &avoid, skip)?;
        state.claimed.insert(offset);
        Some(Claim { pool: self, offset })
    }

    /// Claims one address, unless another worker is about to take it.
    pub fn claim_this(&self, offset: u128) -> Option<Claim<'_>> {
        self.lock().claimed.insert(offset).then(|| Claim { pool: self, offset })
    }

    /// Notes that an address is reserved by somebody who is not in this pool.
    pub fn pass_over(&self, offset: u128) {
        let mut state = self.lock();
        state.crowd.met();
        if state.passed_over.len() < PASSED_OVER_MAX {
            state.passed_over.insert(offset, Instant::now() + PASSED_OVER);
        }
    }

    /// Brings the pool to what is wished, together with what other workers wish meanwhile. Lost races and failed calls are
    /// tried again until `deadline`. After an error the wish may have been granted.
    pub fn make(&self, store: &dyn PoolStore, wish: Wish, deadline: Instant) -> Result<Outcome, ApiError> {
        let mut state = self.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push_back((ticket, wish));
        loop {
            if let Some(ended) = state.ended.remove(&ticket) {
                return ended;
            }
            if state.is_busy {
                state = match self.wait(state, deadline, "patch") {
                    Ok(state) => state,
                    Err(error) => return self.withdraw(ticket, error),
                };
                continue;
            }
            if Instant::now() >= deadline {
                state.waiting.retain(|(other, _)| *other != ticket);
                return Err(too_late("patch"));
            }
            state = self.lead(state, store, ticket, deadline);
        }
    }

    /// Takes a wish back whose time is over, unless it is under way: how that ends is known soon, as every request has its
    /// limit.
    fn withdraw(&self, ticket: u64, error: ApiError) -> Result<Outcome, ApiError> {
        let mut state = self.lock();
        loop {
            if let Some(ended) = state.ended.remove(&ticket) {
                return ended;
            }
            let before = state.waiting.len();
            state.waiting.retain(|(other, _)| *other != ticket);
            if state.waiting.len() < before || !state.is_busy {
                return Err(error);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One request for those who wait, and the pause after it where it was in vain.
    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        store: &dyn PoolStore,
        ticket: u64,
        deadline: Instant,
    ) -> MutexGuard<'a, State> {
        state.is_busy = true;
        // The leader's own wish is in its batch: it must not lead for others only, until its time is over.
        let own = state.waiting.iter().position(|(other, _)| *other == ticket);
        if let Some(own) = own.and_then(|at| state.waiting.remove(at)) {
            state.waiting.push_front(own);
        }
        let count = state.waiting.len().min(BATCH_MAX);
        let batch: Vec<(u64, Wish)> = state.waiting.drain(..count).collect();
        let known = state.known.take();
        drop(state);
        let round = self.attempt(store, known, &batch, deadline);
        let mut state = self.lock();
        state.known = round.known;
        let (mut rest, mut pause) = (Vec::new(), None);
        match round.error {
            None => {
                state.backoff.reset();
                state.crowd.passed();
            }
            Some(error) if error.kind == ApiErrorKind::Conflict => {
                state.crowd.met();
                pause = Some(state.backoff.after_race());
            }
            Some(error) if error.kind.is_passing() => {
                let longest = deadline.saturating_duration_since(Instant::now());
                let wait = state.backoff.after_failure();
                if wait >= longest || state.backoff.failures() > FAILURES_MAX {
                    // Its time is over, and what it says is this error. The others see for themselves when they lead.
                    state.ended.insert(ticket, Err(error));
                }
                pause = Some(wait.min(longest));
            }
            Some(error) => {
                for (other, _) in &batch {
                    state.ended.insert(*other, Err(error.clone()));
                }
            }
        }
        for (entry, outcome) in batch.into_iter().zip(round.outcomes) {
            match outcome {
                Some(outcome) => drop(state.ended.insert(entry.0, Ok(outcome))),
                None if state.ended.contains_key(&entry.0) => {}
                None => rest.push(entry),
            }
        }
        for entry in rest.into_iter().rev() {
            state.waiting.push_front(entry);
        }
        if let Some(pause) = pause {
            state.retries += 1;
            self.changed.notify_all();
            drop(state);
            // Still busy meanwhile: who comes now goes with the next request.
            std::thread::sleep(pause);
            state = self.lock();
        }
        state.is_busy = false;
        self.changed.notify_all();
        state
    }

    /// Reads the pool if it is not known, and makes one change of all wishes.
    fn attempt(
        &self,
        store: &dyn PoolStore,
        known: Option<(Arc<IpPool>, Instant)>,
        batch: &[(u64, Wish)],
        deadline: Instant,
    ) -> Round {
        let mut round = Round { known, outcomes: vec![None; batch.len()], error: None };
        let begun = Instant::now();
        let (pool, is_fresh) = match round.known.take() {
            Some((pool, _)) => (pool, false),
            None => match self.read(store, true, deadline) {
                Ok(Some(pool)) => (Arc::new(pool), true),
                Ok(None) => return Round { error: Some(too_late("get")), ..round },
                Err(error) => return Round { error: Some(error), ..round },
            },
        };
        let (mut changes, mut ends) = (Vec::<PoolChange>::new(), Vec::new());
        for (at, (_, wish)) in batch.iter().enumerate() {
            match wish.judge(&pool) {
                // One change of an address per request; the other wish is judged again after it.
                Judgement::Change(change) if changes.iter().any(|other| other.offset == change.offset) => {}
                Judgement::Change(change) => {
                    changes.push(change);
                    ends.push((at, Outcome::Granted));
                }
                Judgement::Granted => ends.push((at, Outcome::Granted)),
                Judgement::Lost(holder) => ends.push((at, Outcome::Lost(holder))),
            }
        }
        if changes.is_empty() && !is_fresh {
            // Nothing to write would show that this is still the pool.
            return self.attempt(store, None, batch, deadline);
        }
        let written = if changes.is_empty() {
            Ok(pool)
        } else {
            store.change_pool(&pool, &changes, limited(deadline)).map(Arc::new)
        };
        match written {
            Ok(pool) => {
                for (at, outcome) in ends {
                    round.outcomes[at] = Some(outcome);
                }
                round.known = Some((pool, begun));
            }
            // Deleted meanwhile: it is made again.
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                round.error = Some(ApiError { kind: ApiErrorKind::Conflict, ..error });
            }
            Err(error) => round.error = Some(error),
        }
        round
    }

    /// Reads the pool, makes it if it has to be there, and refuses one of another range.
    fn read(
        &self,
        store: &dyn PoolStore,
        must_exist: bool,
        deadline: Instant,
    ) -> Result<Option<IpPool>, ApiError> {
        let mut found = store.pool(&self.name, limited(deadline))?;
        if found.is_none() && must_exist {
            found = match store.create_pool(&self.name, &self.network.to_string(), limited(deadline)) {
                Ok(pool) => Some(pool),
                Err(error) if error.kind == ApiErrorKind::Conflict => {
                    store.pool(&self.name, limited(deadline))?
                }
                Err(error) => return Err(error),
            };
        }
        match &found {
            Some(pool) if pool.range.parse::<IpNet>() != Ok(self.network) => Err(ApiError {
                kind: ApiErrorKind::Other,
                verb: "use",
                resource: "ippools",
                status: 0,
                why: format!("{} is a pool of {}, not of {}", self.name, pool.range, self.network),
            }),
            _ => Ok(found),
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Instant,
        verb: &'static str,
    ) -> Result<MutexGuard<'a, State>, ApiError> {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(too_late(verb));
        }
        Ok(self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request came to: for each wish its outcome, where there is one.
struct Round {
    known: Option<(Arc<IpPool>, Instant)>,
    outcomes: Vec<Option<Outcome>>,
    error: Option<ApiError>,
}

fn limited(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + REQUEST_MAX)
}

fn too_late(verb: &'static str) -> ApiError {
    ApiError {
        kind: ApiErrorKind::Busy,
        verb,
        resource: "ippools",
        status: 0,
        why: "others were quicker again and again, or the API server was too slow".into(),
    }
}
