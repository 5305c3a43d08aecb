//! The thread that takes slices ahead of need and gives empty ones back, for all pools of this node.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use plexus_cni::CniError;

use super::Slices;
use super::book::Kept;
use super::claim::{Lacking, Need};
use super::plan::{surplus, wants_more};
use super::pool::{Knowledge, Pool};
use super::span::Span;
use crate::cluster::Slice;

/// Time between two looks that nobody asked for.
const PERIOD: Duration = Duration::from_secs(15);
/// Time between two comparisons with the API server.
const CHECK_PERIOD: Duration = Duration::from_mins(5);
/// Longest pause after a failed try.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(30);
/// Most slices of one pool that are given back in one look.
const GIVEN_BACK_MAX: usize = 64;

/// Wakes the claimer.
#[derive(Debug, Default)]
pub(super) struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Asks for a look.
    pub(super) fn ring(&self) {
        *self.is_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_one();
    }

    /// Waits for the next ring, or until the limit.
    pub(super) fn wait(&self, limit: Duration) {
        let is_rung = self.is_rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_timeout_while(is_rung, limit, |is_rung| !*is_rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// When each pool is due.
#[derive(Debug, Default)]
pub(super) struct Diary(BTreeMap<String, Page>);

#[derive(Debug)]
struct Page {
    check_at: Instant,
    try_at: Instant,
    failures: u32,
}

impl Slices {
    /// Starts the claimer and the thread that syncs files; both end with the last other holder of `slices`.
    pub fn start(slices: &Arc<Self>) -> std::io::Result<()> {
        Self::start_sync(slices)?;
        let (bell, slices) = (Arc::clone(&slices.bell), Arc::downgrade(slices));
        let look_forever = move || {
            let mut diary = Diary::default();
            while let Some(slices) = Weak::upgrade(&slices) {
                slices.look(Instant::now(), &mut diary);
                let pause = slices.dice.part_of(PERIOD);
                drop(slices);
                bell.wait(pause);
            }
        };
        std::thread::Builder::new().name("slice-claimer".into()).spawn(look_forever).map(drop)
    }

    /// Looks after every pool whose slices nobody changes just now.
    pub(super) fn look(&self, now: Instant, diary: &mut Diary) {
        for pool in self.all() {
            let name = pool.lock().spec.name.clone();
            let page =
                diary.0.entry(name.clone()).or_insert(Page { check_at: now, try_at: now, failures: 0 });
            if now < page.try_at {
                continue;
            }
            match self.look_after(&pool, now, now >= page.check_at) {
                Ok(is_checked) => {
                    page.failures = 0;
                    if is_checked {
                        page.check_at = now + self.dice.part_of(CHECK_PERIOD);
                    }
                }
                Err(error) => {
                    page.failures = page.failures.saturating_add(1);
                    let pause =
                        Duration::from_secs(1).saturating_mul(1 << page.failures.min(9)).min(PAUSE_MAX);
                    page.try_at = now + self.dice.part_of(pause);
                    tracing::warn!(pool = name, %error, "slices cannot be taken or given back now");
                }
            }
        }
    }

    /// Compares, takes and gives back as due; whether the pool was compared with the API server.
    fn look_after(&self, pool: &Pool, now: Instant, is_check_due: bool) -> Result<bool, CniError> {
        let (spec, usage, is_known, is_idle) = {
            let state = pool.lock();
            let is_known = state.knowledge == Knowledge::Whole;
            (state.spec.clone(), state.book.usage(&state.spec), is_known, state.is_idle())
        };
        let is_check_due = (is_check_due || !is_known) && !is_idle;
        let is_low = usage.slices > 0 && wants_more(usage);
        let needs = [is_check_due.then_some(Need::Check), is_low.then_some(Need::Ahead)];
        for need in needs.into_iter().flatten() {
            let Some(turn) = pool.try_turn() else { return Ok(false) };
            let deadline = Instant::now() + TRY_MAX;
            self.extend(vec![Lacking { turn, spec: spec.clone(), need }], deadline)?;
            if need == Need::Check {
                self.look_at_overlaps(pool, deadline)?;
            }
        }
        self.give_back_surplus(pool, now)?;
        Self::tidy(pool)?;
        Ok(is_check_due)
    }

    /// Where others held addresses of our slices: what they hold now.
    fn look_at_overlaps(&self, pool: &Pool, deadline: Instant) -> Result<(), CniError> {
        let has_foreign = pool.lock().book.slices().iter().any(|slice| !slice.kept.foreign.is_empty());
        if !has_foreign {
            return Ok(());
        }
        let others = self.others(deadline)?;
        let mut state = pool.lock();
        let before: Vec<Kept> = state.book.slices().iter().map(|slice| slice.kept.clone()).collect();
        for kept in &before {
            let found = others.inside(&state.spec, Span::of_net(kept.range), &self.node);
            let foreign = found.addresses.into_iter().chain(found.slices).collect();
            state.book.own(Kept { range: kept.range, foreign }, false, Instant::now());
        }
        let is_same = state.book.slices().iter().map(|slice| &slice.kept).eq(&before);
        if is_same { Ok(()) } else { state.save() }
    }

    /// Gives back what is empty and not needed. The file forgets a slice first: if this ends in between, the next
    /// comparison finds the entry and takes the slice in again.
    fn give_back_surplus(&self, pool: &Pool, now: Instant) -> Result<(), CniError> {
        let deadline = Instant::now() + TRY_MAX;
        for _ in 0..GIVEN_BACK_MAX {
            let Some(_turn) = pool.try_turn() else { return Ok(()) };
            let (name, range) = {
                let mut state = pool.lock();
                let Some(range) = surplus(&state.book, &state.spec, now) else { return Ok(()) };
                state.note_begin();
                state.book.disown(range);
                state.save()?;
                (state.spec.name.clone(), range)
            };
            let object = self.api.slice_pool(&name, deadline)?.unwrap_or_default();
            let is_ours = |slice: &Slice| slice.node == self.node && slice.range.parse() == Ok(range);
            if let Some(index) = object.slices.iter().position(is_ours) {
                self.give_back(&name, index, &object.slices[index].range, deadline)?;
            }
            pool.lock().note_end();
        }
        Ok(())
    }

    /// Removes the file of a pool that has nothing any more.
    fn tidy(pool: &Pool) -> Result<(), CniError> {
        let mut state = pool.lock();
        if state.is_idle() { state.store.remove() } else { Ok(()) }
    }
}
