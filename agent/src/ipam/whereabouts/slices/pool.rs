//! One pool on this node: its book and file behind one lock, and one at a time who changes slices.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plexus_cni::{CniError, Code};

use super::book::{Book, Refusal, Usage};
use super::lease::Lease;
use super::plan::wants_more;
use super::spec::PoolSpec;
use super::store::{Change, Snapshot, Store};

/// One pool on this node.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    /// A turn has ended.
    ended: Condvar,
}

/// What the lock of a pool protects.
#[derive(Debug)]
pub(super) struct State {
    /// As the config of the last call has it, or the file.
    pub(super) spec: PoolSpec,
    pub(super) book: Book,
    pub(super) store: Store,
    pub(super) knowledge: Knowledge,
    /// Why STATUS failed, and when.
    pub(super) refused: Option<(Instant, CniError)>,
    /// Somebody changes slices.
    is_busy: bool,
    /// Lines were written that may not be on the disk yet.
    pub(super) is_unsynced: bool,
}

/// What is known of the API server's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// The book was not compared with them since this process started.
    None,
    /// One may name this node that is not in the book: a change is under way, or was cut off.
    UnderWay,
    /// All that name this node are in the book.
    Whole,
}

/// What came of asking for an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The address is held now. `is_new`: since this call. `is_low`: another slice should be taken ahead.
    Held { address: IpAddr, is_new: bool, is_low: bool },
    /// No slice of this node has it.
    NeedsSlice,
}

impl Pool {
    /// A pool of which nothing is known yet.
    pub(super) fn new(dir: &Path, spec: PoolSpec) -> Self {
        let store = Store::new(dir, &spec.name);
        Self::of(spec, Book::default(), store)
    }

    /// What was on disk.
    pub(super) fn open(store: Store, snapshot: Snapshot) -> Self {
        let book = Book::open(snapshot.slices, snapshot.leases, Instant::now());
        Self::of(snapshot.spec, book, store)
    }

    fn of(spec: PoolSpec, book: Book, store: Store) -> Self {
        let state = State {
            spec,
            book,
            store,
            knowledge: Knowledge::None,
            refused: None,
            is_busy: false,
            is_unsynced: false,
        };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an address for `lease`: `wanted`, or else the one that it has, or else the next free one.
    pub(super) fn take(
        &self,
        spec: &PoolSpec,
        lease: &Lease,
        wanted: Option<IpAddr>,
    ) -> Result<Taken, CniError> {
        let mut state = self.lock();
        if state.spec != *spec {
            state.spec = spec.clone();
        }
        let held = state.book.find(lease).filter(|held| wanted.is_none_or(|wanted| wanted == *held));
        if let Some(address) = held {
            let is_new = state.book.held_by(&lease.container_id, &lease.ifname) != Some(address);
            if is_new {
                state.hold(address, lease)?;
            }
            return Ok(Taken::Held { address, is_new, is_low: false });
        }
        if state.knowledge == Knowledge::None {
            return Ok(Taken::NeedsSlice);
        }
        // An interface holds one address of a range; this one asks for another than it has.
        let other = state.book.held_by(&lease.container_id, &lease.ifname);
        let address = match wanted {
            None => state.book.next_free(spec),
            Some(wanted) => match state.book.offers(spec, wanted) {
                Ok(()) => Some(wanted),
                Err(Refusal::NotOurs) => None,
                Err(Refusal::Held(holder)) => return Err(unavailable(wanted, format!("held by {holder}"))),
                Err(Refusal::Excluded) => {
                    let why = format!("range {} does not hand it out, or another pool holds it", spec.range);
                    return Err(unavailable(wanted, why));
                }
            },
        };
        let Some(address) = address else { return Ok(Taken::NeedsSlice) };
        if let Some(other) = other {
            state.free(other)?;
        }
        state.hold(address, lease)?;
        let is_low = wants_more(state.book.usage(spec));
        Ok(Taken::Held { address, is_new: true, is_low })
    }

    /// Frees what this container's interface holds; the address, if there was one.
    pub(super) fn release(&self, container_id: &str, ifname: &str) -> Result<Option<IpAddr>, CniError> {
        let mut state = self.lock();
        let Some(address) = state.book.held_by(container_id, ifname) else { return Ok(None) };
        state.free(address)?;
        Ok(Some(address))
    }

    /// Waits until nobody else changes slices, and keeps it so while the turn lives.
    pub(super) fn turn(&self, deadline: Instant) -> Result<Turn<'_>, CniError> {
        let mut state = self.lock();
        // Ends at the deadline.
        while state.is_busy {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("NodeSlicePool {}: another call waits for a slice", state.spec.name);
                return Err(
                    CniError::new(Code::TryAgain, what).because("the API server is slow; it is tried again")
                );
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_busy = true;
        Ok(Turn { pool: self })
    }

    /// A turn, if nobody has it.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if state.is_busy {
            return None;
        }
        state.is_busy = true;
        Some(Turn { pool: self })
    }

    /// Use of its slices.
    pub(super) fn usage(&self) -> Usage {
        let state = self.lock();
        state.book.usage(&state.spec)
    }
}

impl State {
    /// Notes a holder: on disk, then in the book.
    pub(super) fn hold(&mut self, address: IpAddr, lease: &Lease) -> Result<(), CniError> {
        self.write(&Change { address, lease: Some(lease.clone()) })?;
        self.book.hold(address, lease.clone());
        Ok(())
    }

    /// Frees an address: on disk, then in the book.
    pub(super) fn free(&mut self, address: IpAddr) -> Result<(), CniError> {
        self.write(&Change { address, lease: None })?;
        self.book.free(address, Instant::now());
        Ok(())
    }

    /// Writes slices and leases as they are, durably.
    pub(super) fn save(&mut self) -> Result<(), CniError> {
        self.store.replace(&Snapshot::of(&self.spec, &self.book))
    }

    /// Sees to it that there is a file, before an entry of the API server names this node: the next process looks there.
    pub(super) fn note_intent(&mut self) -> Result<(), CniError> {
        self.note_begin();
        if self.store.is_there() { Ok(()) } else { self.save() }
    }

    /// A change of entries begins.
    pub(super) fn note_begin(&mut self) {
        if self.knowledge == Knowledge::Whole {
            self.knowledge = Knowledge::UnderWay;
        }
    }

    /// A change of entries came to its end.
    pub(super) fn note_end(&mut self) {
        if self.knowledge == Knowledge::UnderWay {
            self.knowledge = Knowledge::Whole;
        }
    }

    /// Whether there is nothing to keep: the API server has said that no entry names this node.
    pub(super) fn is_idle(&self) -> bool {
        self.knowledge == Knowledge::Whole && self.book.slices().is_empty() && self.book.leases().is_empty()
    }

    fn write(&mut self, change: &Change) -> Result<(), CniError> {
        let Self { spec, book, store, .. } = self;
        store.append(change, || Snapshot::of(spec, book))?;
        self.is_unsynced = true;
        Ok(())
    }
}

/// The right to change slices of a pool.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) pool: &'a Pool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.lock().is_busy = false;
        self.pool.ended.notify_all();
    }
}

/// The error for an address that was asked for and cannot be given.
pub(super) fn unavailable(address: IpAddr, why: String) -> CniError {
    CniError::new(Code::AddressUnavailable, format!("requested address {address} cannot be given"))
        .because(why)
}
