//! One thread that keeps all leases alive.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::acquire::{receive, send};
use super::change::{Settled, settle};
use super::clock::{Dice, now_ms};
use super::counts::count;
use super::held::{Held, Key};
use super::machine::Event;
use super::release::on_interface;
use crate::agent::Agent;
use crate::plugin::Sandbox;
use crate::sandbox::PacketSocket;

/// Packets that are read from one socket before the others get their turn.
const PACKETS_MAX: usize = 8;
/// The longest sleep: nothing hangs for ever on a missed ring.
const SLEEP_MS: u64 = 30_000;
/// An interface that could not be changed is tried again after this.
const SETTLE_PAUSE_MS: u64 = 1_000;
/// Pause before the thread goes on after a panic.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Takes the leases of an earlier process over, gives back those whose attachment is gone, and starts the thread.
pub fn start(agent: &Arc<Agent>) -> std::io::Result<()> {
    adopt(agent);
    let agent = Arc::clone(agent);
    let work = move || {
        loop {
            let mut renewer = Renewer::new(&agent);
            let turns = || {
                loop {
                    renewer.turn();
                }
            };
            if catch_unwind(AssertUnwindSafe(turns)).is_err() {
                tracing::error!(
                    "the thread that renews leases panicked; this is a defect of plexusd, please report it"
                );
            }
            std::thread::sleep(RESTART_PAUSE);
        }
    };
    std::thread::Builder::new().name("dhcp".into()).spawn(work).map(drop)
}

/// Sorts the lease files: kept, waiting for a DEL, or of nobody.
fn adopt(agent: &Agent) {
    let all = agent.dhcp.store.all().unwrap_or_else(|error| {
        tracing::error!(%error, "leases of an earlier process are not renewed");
        Vec::new()
    });
    let mut kept = Vec::new();
    for held in all {
        let record =
            agent.records.get(&held.key.container_id).filter(|record| record.boot_id == agent.boot_id);
        let attachment = record.iter().flat_map(|record| &record.attachments).find(|attachment| {
            attachment.network == held.key.network && attachment.ifname == held.key.ifname
        });
        match attachment {
            Some(attachment) if attachment.is_complete() => kept.push(held),
            // Its ADD was cut off, and the DEL that follows gives the lease back.
            Some(_) => {}
            None => {
                if let Err(error) = agent.dhcp.release(&held.key, None) {
                    tracing::error!(ifname = held.key.ifname, %error, "a lease of nobody stays");
                }
            }
        }
    }
    agent.dhcp.table().resume(kept, now_ms(), &mut Dice::new());
}

/// What the thread keeps to itself.
struct Renewer<'a> {
    agent: &'a Agent,
    dice: Dice,
    /// Of clients that wait for an answer; an open one keeps the pod's namespace alive, so none stays.
    sockets: BTreeMap<Key, PacketSocket>,
    /// When an interface that could not be changed is tried again.
    retries: BTreeMap<Key, u64>,
}

impl<'a> Renewer<'a> {
    fn new(agent: &'a Agent) -> Self {
        Self { agent, dice: Dice::new(), sockets: BTreeMap::new(), retries: BTreeMap::new() }
    }

    /// Does what is due, then sleeps until something is.
    fn turn(&mut self) {
        let now = now_ms();
        let due = self.agent.dhcp.table().due(now);
        for key in due {
            let event = {
                let mut table = self.agent.dhcp.table();
                table.get_mut(&key).and_then(|entry| entry.machine.wake(now, &mut self.dice))
            };
            if let Some(event) = event {
                self.act(&key, &event);
            }
        }
        self.settle_all(now);
        let (wake_ms, listening) = {
            let table = self.agent.dhcp.table();
            let listening: BTreeSet<Key> =
                table.iter().filter(|(_, entry)| entry.listens(now)).map(|(key, _)| key.clone()).collect();
            (table.next_ms(now).unwrap_or(u64::MAX), listening)
        };
        self.sockets.retain(|key, _| listening.contains(key));
        let retry_ms = self.retries.values().copied().min().unwrap_or(u64::MAX);
        let limit = wake_ms.min(retry_ms).saturating_sub(now_ms()).min(SLEEP_MS);
        for key in self.sleep(limit) {
            self.hear(&key);
        }
    }

    /// Sleeps at most so long; the clients with something to hear.
    fn sleep(&self, limit_ms: u64) -> Vec<Key> {
        let bell = self.agent.dhcp.bell.as_fd();
        let sockets = self.sockets.values().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        let mut waiting: Vec<PollFd<'_>> = sockets.collect();
        waiting.push(PollFd::new(bell, PollFlags::POLLIN));
        let limit = PollTimeout::try_from(limit_ms).unwrap_or(PollTimeout::ZERO);
        if poll(&mut waiting, limit).is_err() {
            return Vec::new();
        }
        // Silences the bell; it may not have rung.
        self.agent.dhcp.bell.read().map(drop).unwrap_or_default();
        let has_something = |waiting: &PollFd<'_>| waiting.revents().is_some_and(|events| !events.is_empty());
        let keys = self.sockets.keys().zip(&waiting).filter(|(_, waiting)| has_something(waiting));
        keys.map(|(key, _)| key.clone()).collect()
    }

    fn hear(&mut self, key: &Key) {
        for _ in 0..PACKETS_MAX {
            let Some(client) = self.agent.dhcp.table().get(key).map(|entry| entry.held.client()) else {
                return;
            };
            let Some(socket) = self.sockets.get(key) else { return };
            let Some((reply, station)) = receive(socket, &client) else { return };
            let event = {
                let mut table = self.agent.dhcp.table();
                let Some(entry) = table.get_mut(key) else { return };
                let is_new = entry.machine.lease().is_none();
                let event = entry.machine.hear(now_ms(), reply, &mut self.dice);
                if event == Some(Event::Bound) {
                    entry.held.station = station;
                    let counts = &self.agent.dhcp.counts;
                    count(if is_new { &counts.acquired } else { &counts.renewed });
                }
                event
            };
            if let Some(event) = event {
                self.act(key, &event);
            }
        }
    }

    /// What follows from an event of a client.
    fn act(&mut self, key: &Key, event: &Event) {
        let (container, ifname) = (&*key.container_id, &*key.ifname);
        let counts = &self.agent.dhcp.counts;
        match event {
            Event::Send { ask, to_server } => self.send(key, *ask, *to_server),
            Event::Bound => {
                self.keep(key);
                tracing::debug!(container, ifname, "the lease was extended");
            }
            Event::Refused => {
                count(&counts.refused);
                tracing::warn!(container, ifname, "the server refused the lease; another one is asked for");
                self.keep(key);
            }
            Event::Expired => {
                count(&counts.expired);
                tracing::warn!(
                    container,
                    ifname,
                    "the lease has ended without an answer; another one is asked for"
                );
                self.keep(key);
            }
            Event::Unusable(why) => {
                tracing::warn!(container, ifname, why, "the server's answer cannot be used");
            }
        }
    }

    /// Writes down what the client has now. One that was released meanwhile has nothing.
    fn keep(&self, key: &Key) {
        let mut table = self.agent.dhcp.table();
        let Some(entry) = table.get_mut(key) else { return };
        entry.held.lease = entry.machine.lease().cloned();
        if let Err(error) = self.agent.dhcp.store.put(&entry.held) {
            tracing::error!(ifname = key.ifname, %error, "a lease goes on, but a restart will not know it");
        }
    }

    fn send(&mut self, key: &Key, ask: super::message::Ask, to_server: bool) {
        let found = self.agent.dhcp.table().get(key).map(|entry| {
            let server = entry.machine.lease().map(|lease| (entry.held.station, lease.terms.server));
            (entry.held.clone(), entry.machine.transaction(now_ms()), server.filter(|_| to_server))
        });
        let Some((held, transaction, to)) = found else { return };
        if !self.sockets.contains_key(key) {
            // The namespace may be gone, or not visible here; the lease then ends by itself, or by the DEL.
            let Some(socket) = open(&held) else {
                tracing::debug!(
                    ifname = key.ifname,
                    "the lease cannot be renewed: its interface is not there"
                );
                return;
            };
            self.sockets.insert(key.clone(), socket);
        }
        let sent = self.sockets.get(key).map(|socket| send(socket, &held.client(), ask, transaction, to));
        if let Some(Err(error)) = sent {
            tracing::debug!(ifname = key.ifname, %error, "a message to the DHCP server was not sent");
        }
    }

    /// Makes interfaces what their leases say.
    fn settle_all(&mut self, now_ms: u64) {
        let unsettled: Vec<Key> = {
            let table = self.agent.dhcp.table();
            let unsettled = table.iter().filter(|(_, entry)| entry.is_unsettled());
            unsettled.map(|(key, _)| key.clone()).collect()
        };
        self.retries.retain(|key, _| unsettled.contains(key));
        for key in unsettled {
            if self.retries.get(&key).is_some_and(|at| now_ms < *at) {
                continue;
            }
            match settle(self.agent, &key) {
                Ok(Settled::Done | Settled::Gone) => {
                    self.retries.remove(&key);
                }
                Ok(Settled::Busy) => {
                    self.retries.insert(key, now_ms.saturating_add(SETTLE_PAUSE_MS));
                }
                Err(error) => {
                    tracing::error!(ifname = key.ifname, %error, "an interface cannot be given what its lease says");
                    self.retries.insert(key, now_ms.saturating_add(SETTLE_PAUSE_MS * 10));
                }
            }
        }
    }
}

fn open(held: &Held) -> Option<PacketSocket> {
    let sandbox = Sandbox::reopen(&held.netns)?;
    on_interface(held, &sandbox)
}
