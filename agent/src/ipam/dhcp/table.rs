//! All leases and when each wants attention: the renewer asks, and does at most so many things at a time.

use std::collections::BTreeMap;

use super::clock::Dice;
use super::held::{Held, Key};
use super::machine::{Lease, Machine};

/// After a start the leases come one after the other, this far apart: 20 a second.
const START_PAUSE_MS: u64 = 50;
/// Clients that may wait for an answer at the same time; each has a socket.
pub(super) const BUSY_MAX: usize = 64;

/// One lease and its client.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) held: Held,
    pub(super) machine: Machine,
}

impl Entry {
    /// Whether it waits for an answer.
    pub(super) fn listens(&self, now_ms: u64) -> bool {
        self.machine.listens_until_ms().is_some_and(|until| now_ms < until)
    }

    /// Whether the interface has something else than the lease says.
    pub(super) fn is_unsettled(&self) -> bool {
        match (self.machine.lease(), &self.held.applied) {
            (Some(lease), Some(applied)) => !lease.terms.configures_as(applied),
            (None, None) => false,
            _ => true,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Key, Entry>,
}

impl Table {
    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        self.entries.remove(key)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Those that want attention now, the longest waiting first. While [`BUSY_MAX`] clients wait for answers only these
    /// get any.
    pub(super) fn due(&self, now_ms: u64) -> Vec<Key> {
        let mut room = BUSY_MAX.saturating_sub(self.busy(now_ms));
        let mut due: Vec<_> =
            self.entries.iter().filter(|(_, entry)| entry.machine.next_ms() <= now_ms).collect();
        due.sort_by_key(|(_, entry)| entry.machine.next_ms());
        let may = |(key, entry): (&Key, &Entry)| {
            if !entry.listens(now_ms) {
                room = room.checked_sub(1)?;
            }
            Some(key.clone())
        };
        due.into_iter().filter_map(may).collect()
    }

    /// When something is to be done next: a client wants attention, unless there is no room for it, or has listened long
    /// enough.
    pub(super) fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let is_full = self.busy(now_ms) >= BUSY_MAX;
        let wanted = |entry: &Entry| match entry.machine.listens_until_ms().filter(|until| *until > now_ms) {
            Some(until) => Some(until.min(entry.machine.next_ms())),
            None => Some(entry.machine.next_ms()).filter(|_| !is_full),
        };
        self.entries.values().filter_map(wanted).min()
    }

    fn busy(&self, now_ms: u64) -> usize {
        self.entries.values().filter(|entry| entry.listens(now_ms)).count()
    }

    /// Takes the leases of an earlier process, the one that ends first first, and lets them ask one after the other
    /// whether they still hold.
    pub(super) fn resume(&mut self, mut all: Vec<Held>, now_ms: u64, dice: &mut Dice) {
        // Without a lease the interface has no address, and nothing comes before that.
        all.sort_by_key(|held| held.lease.as_ref().map(Lease::ends_ms));
        let mut at_ms = now_ms;
        for held in all {
            at_ms = at_ms.saturating_add(dice.about(START_PAUSE_MS));
            let machine = match held.lease.clone() {
                Some(lease) => Machine::rebooting(lease, at_ms),
                None => Machine::new(at_ms),
            };
            self.insert(held.key.clone(), Entry { held, machine });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::IpAddr;

    use super::*;
    use crate::ipam::dhcp::family::Family;
    use crate::ipam::dhcp::machine::Event;
    use crate::ipam::dhcp::message::{Ask, Kind, Reply};
    use crate::ipam::dhcp::terms::tests::terms;

    fn lease(at: u32, lease_s: u32) -> Held {
        let key = Key {
            container_id: format!("c{at}"),
            network: "n".into(),
            ifname: "net1".into(),
            family: Family::Ipv4,
        };
        let [_, _, high, low] = at.to_be_bytes();
        let lease = Lease { terms: terms([10, 1, high, low], lease_s), since_ms: 0 };
        Held { lease: Some(lease), ..Held::for_tests(key) }
    }

    /// Runs the table from `from_ms` to `until_ms`; the times of all messages. A server answers after 20 ms, if there is one.
    fn run(table: &mut Table, from_ms: u64, until_ms: u64, is_answered: bool) -> Vec<u64> {
        let mut dice = Dice::seeded(3);
        let mut sent = Vec::new();
        let mut answers: VecDeque<(u64, Key, Ask)> = VecDeque::new();
        let mut now = from_ms;
        while now < until_ms {
            for key in table.due(now) {
                let event = table.get_mut(&key).unwrap().machine.wake(now, &mut dice);
                if let Some(Event::Send { ask, .. }) = event {
                    sent.push(now);
                    answers.push_back((now + 20, key, ask));
                }
            }
            assert!(table.busy(now) <= BUSY_MAX);
            while let Some((_, key, ask)) = answers.pop_front_if(|(at, _, _)| *at <= now) {
                if is_answered {
                    answer(table, &key, ask, now, &mut dice);
                }
            }
            let next = table.next_ms(now).into_iter().chain(answers.front().map(|(at, _, _)| *at)).min();
            now = next.unwrap_or(until_ms).max(now + 1);
        }
        sent
    }

    fn answer(table: &mut Table, key: &Key, ask: Ask, now: u64, dice: &mut Dice) {
        let (Ask::Reboot { address } | Ask::Extend { address, .. }) = ask else { unreachable!("{ask:?}") };
        let machine = &mut table.get_mut(key).unwrap().machine;
        let IpAddr::V4(address) = address else { unreachable!() };
        let terms = terms(address.octets(), 3600);
        let (server, xid) = (terms.server, machine.transaction(now).0);
        let reply = Reply { kind: Kind::Ack(Box::new(Ok(terms))), xid, server };
        assert_eq!(machine.hear(now, reply, dice), Some(Event::Bound));
    }

    /// The most in any second.
    fn peak(times: &[u64]) -> usize {
        let in_second = |from: &u64| times.iter().filter(|time| (*from..from + 1000).contains(time)).count();
        times.iter().map(in_second).max().unwrap_or_default()
    }

    #[test]
    fn a_thousand_leases_at_the_start_come_one_after_the_other() {
        let mut table = Table::default();
        let leases = (0..1000).map(|at| lease(at, 3600)).collect();
        table.resume(leases, 1_000, &mut Dice::seeded(1));
        let sent = run(&mut table, 1_000, 70_000, true);
        assert_eq!(sent.len(), 1000, "one question each");
        assert!(peak(&sent) <= 30, "{} in a second", peak(&sent));
        let renewals = run(&mut table, 70_000, 1_900_000, true);
        assert_eq!(renewals.len(), 1000);
        assert!(peak(&renewals) <= 40, "{} in a second", peak(&renewals));
    }

    #[test]
    fn a_thousand_leases_without_a_server_ask_a_few_at_a_time_and_none_is_lost() {
        let mut table = Table::default();
        let leases = (0..1000).map(|at| lease(at, 7200)).collect();
        table.resume(leases, 0, &mut Dice::seeded(1));
        let sent = run(&mut table, 0, 300_000, false);
        assert!(peak(&sent) <= BUSY_MAX * 2, "{} in a second", peak(&sent));
        assert!(table.iter().all(|(_, entry)| entry.machine.lease().is_some()), "they still hold");
    }

    #[test]
    fn what_ends_first_comes_first() {
        let mut table = Table::default();
        table.resume(vec![lease(1, 900), lease(2, 60), lease(3, 300)], 0, &mut Dice::seeded(1));
        let order: Vec<_> = table.due(1_000).into_iter().map(|key| key.container_id).collect();
        assert_eq!(order, ["c2", "c3", "c1"]);
    }
}
