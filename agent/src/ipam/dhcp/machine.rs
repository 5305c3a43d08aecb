//! The client's states (RFC 2131, figure 5): what to send when, and what an answer changes. No I/O, and time comes from
//! outside, in milliseconds since boot.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::clock::Dice;
use super::family::Server;
use super::message::{Ask, Kind, Reply};
use super::terms::Terms;

/// The first repetition comes after about this; each later one after twice as long.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest pause between two repetitions.
const LONGEST_WAIT_MS: u64 = 64_000;
/// Unanswered requests for an offered address, after which the search begins anew.
const REQUESTS_MAX: u32 = 4;
/// Unanswered requests for the old address after a restart, after which its lease is used as it stands.
const REBOOTS_MAX: u32 = 3;
/// Pause after a refusal, before the search begins anew.
const REFUSED_WAIT_MS: u64 = 1_000;
/// The longest of those pauses, where refusals follow each other.
const REFUSED_WAIT_MAX_MS: u64 = 60_000;
/// Pause after an address was declined, before the search begins anew (RFC 2131, 3.1, step 5).
const DECLINED_WAIT_MS: u64 = 10_000;
/// So long an answer is listened for after a message; a repetition listens again.
const LISTEN_MS: u64 = 10_000;
/// Between two requests for an extension there is at least this, or an eighth of the lease if that is less.
const EXTEND_WAIT_MS: u64 = 60_000;

/// A lease that we hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lease {
    pub(super) terms: Terms,
    /// When it was asked for: its times count from there.
    pub(super) since_ms: u64,
}

impl Lease {
    fn after(&self, seconds: u64) -> u64 {
        self.since_ms.saturating_add(seconds.saturating_mul(1000))
    }

    /// When it ends; `u64::MAX` is never.
    pub(super) fn ends_ms(&self) -> u64 {
        self.terms.lease_s.map_or(u64::MAX, |seconds| self.after(seconds))
    }

    /// When T2 is over.
    pub(super) fn rebinds_ms(&self) -> u64 {
        self.after(self.terms.rebind_s)
    }

    /// A tenth of it by chance earlier than T1, so that leases of one moment do not stay together for ever.
    fn renews_ms(&self, dice: &mut Dice) -> u64 {
        let renews = self.after(self.terms.renew_s);
        if renews == u64::MAX {
            return renews;
        }
        renews.saturating_sub(dice.below(self.terms.renew_s.saturating_mul(100)))
    }
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has nothing, and begins to search.
    Init,
    /// It looks for offers.
    Selecting,
    /// It asks for the address that was offered.
    Requesting { address: IpAddr, server: Server },
    /// It asks whether the address that it had is still its own.
    Rebooting,
    /// It has a lease and lets the server alone.
    Bound,
    /// It asks its server for an extension.
    Renewing,
    /// It asks any server.
    Rebinding,
}

/// What happened, and what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Send this; to the lease's server alone, or to all.
    Send { ask: Ask, to_server: bool },
    /// The server gave or extended a lease; `Machine::lease` has it.
    Bound,
    /// The server refused: the address must not be used any more, if there was one.
    Refused,
    /// The lease has ended without an answer.
    Expired,
    /// The server's answer cannot be used.
    Unusable(&'static str),
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    state: State,
    lease: Option<Lease>,
    xid: u32,
    /// When this transaction began.
    began_ms: u64,
    /// When what was sent last was sent first: a lease counts from there.
    asked_ms: u64,
    /// Messages of this state.
    sent: u32,
    /// When the last message was sent.
    sent_ms: u64,
    refusals: u32,
    next_ms: u64,
}

impl Machine {
    /// A client without anything, which begins at once.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            state: State::Init,
            lease: None,
            xid: 0,
            began_ms: now_ms,
            asked_ms: now_ms,
            sent: 0,
            sent_ms: now_ms,
            refusals: 0,
            next_ms: now_ms,
        }
    }

    /// A client with a lease that was just given.
    pub(super) fn bound(lease: Lease, dice: &mut Dice) -> Self {
        let mut machine = Self::new(lease.since_ms);
        machine.next_ms = lease.renews_ms(dice);
        machine.state = State::Bound;
        machine.lease = Some(lease);
        machine
    }

    /// A client that has its lease from an earlier process, and asks at `at_ms` whether it still holds.
    pub(super) fn rebooting(lease: Lease, at_ms: u64) -> Self {
        Self { state: State::Rebooting, lease: Some(lease), ..Self::new(at_ms) }
    }

    /// Where it stands.
    #[cfg(test)]
    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// When it wants to be woken.
    pub(super) fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// Until when it listens for an answer, if it waits for one.
    pub(super) fn listens_until_ms(&self) -> Option<u64> {
        self.has_asked().then(|| self.sent_ms.saturating_add(LISTEN_MS))
    }

    fn has_asked(&self) -> bool {
        self.sent > 0 && !matches!(self.state, State::Init | State::Bound)
    }

    /// The transaction's id, and the seconds since it began.
    pub(super) fn transaction(&self, now_ms: u64) -> (u32, u16) {
        let seconds = now_ms.saturating_sub(self.began_ms) / 1000;
        (self.xid, u16::try_from(seconds).unwrap_or(u16::MAX))
    }

    /// Its time has come.
    pub(super) fn wake(&mut self, now_ms: u64, dice: &mut Dice) -> Option<Event> {
        if now_ms < self.next_ms {
            return None;
        }
        if let Some(lease) = &self.lease
            && now_ms >= lease.ends_ms()
        {
            self.lease = None;
            self.enter(State::Init, now_ms, dice);
            return Some(Event::Expired);
        }
        match (self.state, self.lease.clone()) {
            (State::Init, _) => {
                self.enter(State::Selecting, now_ms, dice);
                Some(self.send(Ask::Discover, now_ms, dice))
            }
            (State::Selecting, _) => Some(self.send(Ask::Discover, now_ms, dice)),
            (State::Requesting { .. }, _) if self.sent >= REQUESTS_MAX => {
                self.enter(State::Selecting, now_ms, dice);
                Some(self.send(Ask::Discover, now_ms, dice))
            }
            (State::Requesting { address, server }, _) => {
                Some(self.send(Ask::Select { address, server }, now_ms, dice))
            }
            (State::Rebooting, Some(lease)) if self.sent >= REBOOTS_MAX => {
                // Nobody answers, so the lease goes on as it is.
                self.sent = 0;
                let next = if now_ms < lease.rebinds_ms() { State::Renewing } else { State::Rebinding };
                self.state = next;
                self.next_ms = lease.renews_ms(dice).max(now_ms + dice.about(FIRST_WAIT_MS));
                None
            }
            (State::Rebooting, Some(lease)) => {
                if self.sent == 0 {
                    self.begin(now_ms, dice);
                }
                Some(self.send(Ask::Reboot { address: lease.terms.address.addr() }, now_ms, dice))
            }
            (State::Bound, Some(lease)) => {
                self.state = State::Renewing;
                self.begin(now_ms, dice);
                Some(self.extend(&lease, now_ms))
            }
            (State::Renewing | State::Rebinding, Some(lease)) => {
                if self.sent == 0 {
                    self.begin(now_ms, dice);
                }
                Some(self.extend(&lease, now_ms))
            }
            // Without a lease there is nothing to keep.
            (State::Rebooting | State::Bound | State::Renewing | State::Rebinding, None) => {
                self.enter(State::Init, now_ms, dice);
                None
            }
        }
    }

    /// A server answers; what is not for this transaction, or not for this state, is passed over.
    pub(super) fn hear(&mut self, now_ms: u64, reply: Reply, dice: &mut Dice) -> Option<Event> {
        if reply.xid != self.xid || !self.has_asked() {
            return None;
        }
        match (self.state, reply.kind) {
            (State::Selecting, Kind::Offer { address }) if !address.is_unspecified() => {
                let server = reply.server;
                self.state = State::Requesting { address, server };
                self.sent = 0;
                Some(self.send(Ask::Select { address, server }, now_ms, dice))
            }
            (State::Requesting { server, .. }, Kind::Ack(_) | Kind::Nak) if server != reply.server => None,
            (
                State::Requesting { .. } | State::Rebooting | State::Renewing | State::Rebinding,
                Kind::Ack(terms),
            ) => match *terms {
                Ok(terms) => {
                    *self = Self::bound(Lease { terms, since_ms: self.asked_ms }, dice);
                    Some(Event::Bound)
                }
                Err(why) => Some(Event::Unusable(why)),
            },
            (State::Requesting { .. } | State::Rebooting | State::Renewing | State::Rebinding, Kind::Nak) => {
                self.lease = None;
                self.refusals = self.refusals.saturating_add(1);
                self.enter(State::Init, now_ms, dice);
                let pause = REFUSED_WAIT_MS.saturating_mul(1 << self.refusals.min(16));
                self.next_ms = now_ms.saturating_add(dice.below(pause.min(REFUSED_WAIT_MAX_MS)));
                Some(Event::Refused)
            }
            _ => None,
        }
    }

    /// Somebody else uses the address that was given: what to tell the server, before the search begins anew.
    pub(super) fn decline(&mut self, now_ms: u64, dice: &mut Dice) -> Option<Ask> {
        let lease = self.lease.take()?;
        self.enter(State::Init, now_ms, dice);
        self.next_ms = now_ms.saturating_add(DECLINED_WAIT_MS);
        Some(Ask::Decline { address: lease.terms.address.addr(), server: lease.terms.server })
    }

    fn enter(&mut self, state: State, now_ms: u64, dice: &mut Dice) {
        self.state = state;
        self.next_ms = now_ms;
        self.begin(now_ms, dice);
    }

    /// A new transaction.
    fn begin(&mut self, now_ms: u64, dice: &mut Dice) {
        (self.xid, self.began_ms, self.sent) = (dice.xid(), now_ms, 0);
    }

    /// Sends to all, and again after a pause that doubles.
    fn send(&mut self, ask: Ask, now_ms: u64, dice: &mut Dice) -> Event {
        self.stamp(now_ms);
        let pause = FIRST_WAIT_MS.saturating_mul(1 << (self.sent - 1).min(16)).min(LONGEST_WAIT_MS);
        let ends = self.lease.as_ref().map_or(u64::MAX, Lease::ends_ms);
        self.next_ms = now_ms.saturating_add(dice.about(pause)).min(ends);
        Event::Send { ask, to_server: false }
    }

    /// Asks for an extension: until T2 the server, then all; again after half of the time that is left.
    fn extend(&mut self, lease: &Lease, now_ms: u64) -> Event {
        self.stamp(now_ms);
        let to_server = now_ms < lease.rebinds_ms();
        self.state = if to_server { State::Renewing } else { State::Rebinding };
        let until = if to_server { lease.rebinds_ms() } else { lease.ends_ms() };
        let whole = lease.terms.lease_s.unwrap_or(u64::MAX).saturating_mul(1000);
        let shortest = EXTEND_WAIT_MS.min(whole / 8).max(FIRST_WAIT_MS);
        let pause = (until.saturating_sub(now_ms) / 2).max(shortest);
        self.next_ms = now_ms.saturating_add(pause).min(until);
        let server = Some(lease.terms.server).filter(|_| to_server);
        Event::Send { ask: Ask::Extend { address: lease.terms.address.addr(), server }, to_server }
    }

    /// One more message goes out. Repetitions do not move the lease's beginning: any of them may be the one answered.
    fn stamp(&mut self, now_ms: u64) {
        if self.sent == 0 {
            self.asked_ms = now_ms;
        }
        self.sent_ms = now_ms;
        self.sent = self.sent.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
