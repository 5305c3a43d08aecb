//! Taking slices from the API server, and giving them back.
//!
//! A claim is: the node's name into the slice's entry, then a look at what others hold inside of it, then the slice goes
//! on disk, and only then are addresses handed out. Ended anywhere in between, the entry names this node and the file does
//! not have the slice: the next look takes it in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use plexus_cni::{CniError, Code};

use super::Slices;
use super::book::{Kept, Refusal};
use super::exhausted::{exhausted, not_ours};
use super::overlap::{Others, Overlap};
use super::plan::wants_more;
use super::pool::{Knowledge, State, Turn};
use super::span::Span;
use super::spec::PoolSpec;
use crate::cluster::{ApiError, ApiErrorKind, Slice, SlicePool};

/// Longest wait for one answer.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long a try of a claim may take at first; after every few failures it may take twice as long. Changes of one object are
/// made again inside the API server until nobody else was faster, so each one that is there slows all others: who is not
/// served soon leaves, and comes back at another time.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many failures double it.
const PATIENCE_DOUBLES: u32 = 4;
/// A look that took no longer met no crowd.
const PROMPT: Duration = Duration::from_millis(100);
/// The change after a slow look comes within so many times what that took: a claim costs the API server several looks.
const SPREAD: u32 = 16;
/// Most tries for one slice: others may be faster each time.
const TRIES_MAX: u32 = 24;
/// Most slices that are given back again because others hold them, in one call.
const ROUNDS_MAX: u32 = 8;

/// What a pool lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any free address.
    Address,
    /// This address.
    This(IpAddr),
    /// A slice before it is needed.
    Ahead,
    /// Nothing but to know what the API server says.
    Check,
}

/// A pool that lacks something, with the right to change its slices.
pub(super) struct Lacking<'a> {
    pub(super) turn: Turn<'a>,
    pub(super) spec: PoolSpec,
    pub(super) need: Need,
}

/// A slice whose entry has this node's name, on its way into the book.
struct Claimed {
    index: usize,
    range: IpNet,
    /// The range as the entry has it.
    text: String,
}

impl Slices {
    /// Takes what these pools lack. Then an address is there, unless somebody took it at once. What others hold is read
    /// once for all of them.
    pub(super) fn extend(&self, mut lacking: Vec<Lacking<'_>>, deadline: Instant) -> Result<(), CniError> {
        let mut avoided = BTreeSet::new();
        for lack in &lacking {
            lack.turn.pool.lock().note_intent()?;
        }
        for _ in 0..ROUNDS_MAX {
            let mut claims = Vec::with_capacity(lacking.len());
            for lack in lacking.drain(..) {
                let claimed = self
                    .claim(&lack, &avoided, deadline)
                    .map_err(|error| error.within(format!("a slice of NodeSlicePool {}", lack.spec.name)))?;
                if claimed.is_empty() {
                    lack.turn.pool.lock().note_end();
                } else {
                    claims.push((lack, claimed));
                }
            }
            if claims.is_empty() {
                return Ok(());
            }
            let others = if claims.iter().any(|(lack, _)| lack.spec.checks_overlaps) {
                self.settled(&claims, deadline)?
            } else {
                Others::default()
            };
            for (lack, claimed) in claims {
                let mut is_lacking = false;
                for claimed in claimed {
                    if !self.admit(&lack, &claimed, &others, deadline)? {
                        avoided.insert(claimed.range);
                        is_lacking = true;
                    }
                }
                if is_lacking {
                    lacking.push(lack);
                } else {
                    lack.turn.pool.lock().note_end();
                }
            }
        }
        Err(CniError::new(Code::RangeExhausted, "no slice without other pools' addresses was found").because(
            "another range overlaps this one; give one of them another network_name, or keep them apart",
        ))
    }

    /// Has the entries of the API server name this node as the need says, and returns those that are not in the book.
    fn claim(
        &self,
        lack: &Lacking<'_>,
        avoided: &BTreeSet<IpNet>,
        deadline: Instant,
    ) -> Result<Vec<Claimed>, CniError> {
        let mut failures = 0;
        while failures < TRIES_MAX {
            let asked = Instant::now();
            let pool = match self.read(&lack.spec, deadline) {
                Ok(pool) => pool,
                Err(error) => {
                    self.wait_after(error, lack.need, &mut failures, deadline)?;
                    continue;
                }
            };
            let looked = asked.elapsed();
            check_range(&pool, &lack.spec)?;
            let (ours, returning) = self.compare(&lack.turn, &pool);
            let is_satisfied = is_satisfied(&lack.turn.pool.lock(), &lack.spec, lack.need)
                || ours.iter().any(|ours| lack.need.is_met_by(ours.range));
            let wanted = if let Some(returning) = returning {
                returning
            } else if is_satisfied {
                return Ok(ours);
            } else {
                match self.choose(&pool, lack, avoided) {
                    Some(free) => free,
                    None if !ours.is_empty() => return Ok(ours),
                    None => return Err(self.nothing_free(&pool, lack)),
                }
            };
            self.stand_back(looked, deadline);
            let slice = Slice { node: String::new(), range: pool.slices[wanted.index].range.clone() };
            let until = deadline.min(Instant::now() + lack.need.patience(failures));
            match self.api.change_slice(&pool.name, wanted.index, &slice, &self.node, until) {
                Ok(()) => {
                    self.counters.claimed.count();
                    return Ok(ours.into_iter().chain([wanted]).collect());
                }
                Err(error) => {
                    if error.kind == ApiErrorKind::Conflict {
                        self.counters.conflicts.count();
                    }
                    self.wait_after(error, lack.need, &mut failures, deadline)?;
                }
            }
        }
        let what = format!("{TRIES_MAX} tries did not get one");
        Err(CniError::new(Code::TryAgain, what)
            .because("many nodes take slices at the same time; it is tried again"))
    }

    /// The object as it is now; made where it is not there.
    fn read(&self, spec: &PoolSpec, deadline: Instant) -> Result<SlicePool, ApiError> {
        let deadline = deadline.min(Instant::now() + REQUEST_MAX);
        if let Some(pool) = self.api.slice_pool(&spec.name, deadline)? {
            return Ok(pool);
        }
        // A spec whose size cannot cut its range is refused before it comes here.
        let slices = spec.slices().unwrap_or_default();
        let free = |range: IpNet| Slice { node: String::new(), range: range.to_string() };
        let pool = SlicePool {
            name: spec.name.clone(),
            range: spec.range.to_string(),
            slice_size: spec.slice_size_text().unwrap_or_default(),
            slices: slices.into_iter().map(free).collect(),
            ..SlicePool::default()
        };
        self.api.create_slice_pool(&pool, deadline)
    }

    /// Compares the book with the object: what is confirmed, what is lost, which entries name this node and are not in
    /// the book, and a slice in use whose entry is free, to be taken again: this node's object was gone for a while.
    fn compare(&self, turn: &Turn<'_>, pool: &SlicePool) -> (Vec<Claimed>, Option<Claimed>) {
        let mut state = turn.pool.lock();
        let known: BTreeMap<IpNet, (bool, usize)> = {
            let slices = state.book.slices().iter();
            slices.map(|slice| (slice.kept.range, (slice.is_confirmed, slice.used))).collect()
        };
        let (mut ours, mut returning, mut confirmed) = (Vec::new(), None, BTreeSet::new());
        for (index, slice) in pool.slices.iter().enumerate() {
            let Some(claimed) = Claimed::of(index, slice) else { continue };
            let range = claimed.range;
            let is_used = known.get(&range).map(|(_, used)| *used > 0);
            match (slice.node == self.node, is_used) {
                (true, Some(_)) => drop(confirmed.insert(range)),
                (true, None) => ours.push(claimed),
                (false, Some(true)) if slice.node.is_empty() => returning = Some(claimed),
                _ => {}
            }
        }
        let mut is_changed = false;
        for (range, (was_confirmed, used)) in known {
            let is_ours = confirmed.contains(&range);
            state.book.confirm(range, is_ours);
            let is_returning = returning.as_ref().is_some_and(|returning| returning.range == range);
            if is_ours || is_returning {
                continue;
            }
            if was_confirmed || state.knowledge == Knowledge::None {
                self.counters.lost.count();
                tracing::error!(pool = pool.name, slice = %range, used, "a slice is not this node's any more");
            }
            if used == 0 {
                state.book.disown(range);
                is_changed = true;
            }
        }
        state.knowledge = Knowledge::UnderWay;
        if is_changed && let Err(error) = state.save() {
            tracing::warn!(pool = pool.name, %error, "a lost slice stays on disk until the next change");
        }
        (ours, returning)
    }

    /// A free slice that has what is needed, any of them with the same chance, so that nodes rarely meet.
    fn choose(&self, pool: &SlicePool, lack: &Lacking<'_>, avoided: &BTreeSet<IpNet>) -> Option<Claimed> {
        let free = pool.slices.iter().enumerate().filter(|(_, slice)| slice.node.is_empty());
        let parsed = free.filter_map(|(index, slice)| Claimed::of(index, slice));
        let mut fitting: Vec<Claimed> = parsed
            .filter(|free| !avoided.contains(&free.range) && lack.need.is_met_by(free.range))
            .filter(|free| lack.spec.capacity(Span::of_net(free.range), &[]) > 0)
            .collect();
        let at = self.dice.below(fitting.len());
        (at < fitting.len()).then(|| fitting.swap_remove(at))
    }

    fn nothing_free(&self, pool: &SlicePool, lack: &Lacking<'_>) -> CniError {
        match lack.need {
            Need::This(address) => not_ours(pool, address),
            need => {
                if need == Need::Address {
                    self.counters.exhausted.count();
                }
                exhausted(pool, &lack.spec, &self.node, lack.turn.pool.usage())
            }
        }
    }

    /// Takes a slice into the book and the file, without what others hold in it. One that others hold altogether is
    /// given back: false.
    fn admit(
        &self,
        lack: &Lacking<'_>,
        claimed: &Claimed,
        others: &Others,
        deadline: Instant,
    ) -> Result<bool, CniError> {
        let span = Span::of_net(claimed.range);
        let found = if lack.spec.checks_overlaps {
            others.inside(&lack.spec, span, &self.node)
        } else {
            Overlap::default()
        };
        let is_shared = !found.slices.is_empty();
        let foreign: Vec<Span> = found.addresses.into_iter().chain(found.slices).collect();
        let mut state = lack.turn.pool.lock();
        let is_held = state.book.leases().range(span.first()..=span.last()).next().is_some();
        if !is_held && (is_shared || lack.spec.capacity(span, &foreign) == 0) {
            state.book.disown(claimed.range);
            drop(state);
            self.give_back(&lack.spec.name, claimed.index, &claimed.text, deadline)?;
            return Ok(false);
        }
        if is_shared {
            tracing::error!(pool = lack.spec.name, slice = %claimed.range, "another pool's slice overlaps one in use");
        }
        state.book.own(Kept { range: claimed.range, foreign }, true, Instant::now());
        let saved = state.save();
        if saved.is_err() {
            state.book.confirm(claimed.range, false);
            state.knowledge = Knowledge::None;
        }
        saved.map(|()| true)
    }

    /// Takes this node's name out of an entry; one that has another name by now is a success.
    pub(super) fn give_back(
        &self,
        pool: &str,
        index: usize,
        range: &str,
        deadline: Instant,
    ) -> Result<(), CniError> {
        let deadline = deadline.min(Instant::now() + REQUEST_MAX);
        let slice = Slice { node: self.node.clone(), range: range.to_string() };
        match self.api.change_slice(pool, index, &slice, "", deadline) {
            Ok(()) => {
                self.counters.given_back.count();
                Ok(())
            }
            Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What others hold once everybody knows of the claims. Agents that allocate from a range which overlaps one remember
    /// for a while which slices are claimed.
    fn settled(&self, claims: &[(Lacking<'_>, Vec<Claimed>)], deadline: Instant) -> Result<Others, CniError> {
        let others = self.others(deadline)?;
        let is_over = |(lack, claimed): &(Lacking<'_>, Vec<Claimed>)| {
            let mut spans = claimed.iter().map(|claimed| Span::of_net(claimed.range));
            spans.any(|span| others.has_pool_over(&lack.spec, span))
        };
        if self.settle.is_zero() || !claims.iter().any(is_over) {
            return Ok(others);
        }
        if Instant::now() + self.settle >= deadline {
            return Err(CniError::new(Code::TryAgain, "a new slice overlaps another pool and has to wait")
                .because("agents that allocate there must see it first; it is tried again"));
        }
        std::thread::sleep(self.settle);
        self.others(deadline)
    }

    /// What others hold, now.
    pub(super) fn others(&self, deadline: Instant) -> Result<Others, CniError> {
        let deadline = deadline.min(Instant::now() + REQUEST_MAX);
        Ok(Others {
            slice_pools: self.api.slice_pools(deadline)?,
            pools: self.api.pools(deadline)?,
            reservations: self.api.reservations(deadline)?,
        })
    }

    /// Waits where a look took long: many ask at once, and they do better one after the other.
    fn stand_back(&self, looked: Duration, deadline: Instant) {
        if looked <= PROMPT {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(self.dice.up_to(looked * SPREAD).min(left / 4));
    }

    /// Waits before the next try, if there is to be one: after a lost race, and where a pod waits after what passes by
    /// itself.
    fn wait_after(
        &self,
        error: ApiError,
        need: Need,
        failures: &mut u32,
        deadline: Instant,
    ) -> Result<(), CniError> {
        let is_race = error.kind == ApiErrorKind::Conflict;
        let wait = if is_race { self.dice.after_race(*failures) } else { self.dice.after_crowd(*failures) };
        let is_passing = is_race || (need.is_waited_for() && error.kind.is_passing());
        *failures += 1;
        if !is_passing || *failures >= TRIES_MAX || Instant::now() + wait >= deadline {
            return Err(error.into());
        }
        std::thread::sleep(wait);
        Ok(())
    }
}

impl Claimed {
    fn of(index: usize, slice: &Slice) -> Option<Self> {
        Some(Self { index, range: slice.range.parse().ok()?, text: slice.range.clone() })
    }
}

impl Need {
    /// Whether a pod waits for it, so that it is tried again at once.
    fn is_waited_for(self) -> bool {
        matches!(self, Self::Address | Self::This(_))
    }

    /// How long the try after so many failures may take. What nobody waits for is tried once and rarely by many at once:
    /// it takes the time of a slow API server.
    fn patience(self, failures: u32) -> Duration {
        if self.is_waited_for() {
            PATIENCE.saturating_mul(1 << (failures / PATIENCE_DOUBLES).min(8)).min(REQUEST_MAX)
        } else {
            REQUEST_MAX
        }
    }

    /// Whether a slice of this range is of use.
    fn is_met_by(self, range: IpNet) -> bool {
        match self {
            Self::Address | Self::Ahead => true,
            Self::This(address) => range.contains(&address),
            Self::Check => false,
        }
    }
}

fn is_satisfied(state: &State, spec: &PoolSpec, need: Need) -> bool {
    match need {
        Need::Address => state.book.next_free(spec).is_some(),
        Need::This(address) => state.book.offers(spec, address) != Err(Refusal::NotOurs),
        Need::Ahead => !wants_more(state.book.usage(spec)),
        Need::Check => true,
    }
}

/// Refuses an object that was made for another range; how it is cut is its own matter.
fn check_range(pool: &SlicePool, spec: &PoolSpec) -> Result<(), CniError> {
    let range: Option<IpNet> = pool.range.parse().ok();
    if range.map(|range| range.trunc()) == Some(spec.range.trunc()) {
        return Ok(());
    }
    let what =
        format!("NodeSlicePool {} was made for range {}, not for {}", pool.name, pool.range, spec.range);
    Err(CniError::new(Code::InvalidConfig, what).because(
        "give the network another network_name, or delete the object once none of its addresses is in use",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_claim_leaves_soon_and_grows_patient_and_one_ahead_of_need_waits_for_a_slow_server() {
        let seen: Vec<u128> =
            [0, 3, 4, 8, 16, TRIES_MAX].map(|failures| Need::Address.patience(failures).as_millis()).to_vec();
        assert_eq!(seen, [500, 500, 1_000, 2_000, 8_000, 10_000]);
        for need in [Need::Ahead, Need::Check] {
            assert_eq!(need.patience(0), REQUEST_MAX);
        }
    }
}
