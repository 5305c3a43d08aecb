//! Numbers of next hops: one for each hop, however many prefixes and tables lead to it.

use std::collections::{BTreeMap, BTreeSet};

use plexus_abi::{HOP_NONE, MAX_NEXT_HOPS};

use super::spec::RouteHop;

/// Which hop has which number, and how many tables use it.
#[derive(Default)]
pub(super) struct Hops {
    numbers: BTreeMap<RouteHop, Entry>,
    used: BTreeSet<u32>,
}

struct Entry {
    number: u32,
    tables: u32,
}

impl Hops {
    /// A hop that an earlier process numbered; it stays until [`Hops::forget_unused`].
    pub(super) fn adopt(&mut self, hop: RouteHop, number: u32) {
        if hop != RouteHop::Pass && self.used.insert(number) {
            self.numbers.entry(hop).or_insert(Entry { number, tables: 0 });
        }
    }

    /// One more table uses the hop: its number, and whether it is a new one, to be written before it is used. Nothing if
    /// there is no number left.
    pub(super) fn take(&mut self, hop: RouteHop) -> Option<(u32, bool)> {
        if hop == RouteHop::Pass {
            return Some((HOP_NONE, false));
        }
        if let Some(entry) = self.numbers.get_mut(&hop) {
            entry.tables += 1;
            return Some((entry.number, false));
        }
        let number = (HOP_NONE + 1..MAX_NEXT_HOPS).find(|number| !self.used.contains(number))?;
        self.used.insert(number);
        self.numbers.insert(hop, Entry { number, tables: 1 });
        Some((number, true))
    }

    /// One table less uses the hops; a number that nobody uses is free. Only when no program can see them any more.
    pub(super) fn give_back(&mut self, hops: &BTreeSet<RouteHop>) {
        for hop in hops {
            let Some(entry) = self.numbers.get_mut(hop) else { continue };
            entry.tables = entry.tables.saturating_sub(1);
            if entry.tables == 0 {
                self.used.remove(&entry.number);
                self.numbers.remove(hop);
            }
        }
    }

    /// Ends what [`Hops::adopt`] began: no table of an earlier process is left.
    pub(super) fn forget_unused(&mut self) {
        let numbers = &self.numbers;
        self.used.retain(|number| numbers.values().any(|entry| entry.number == *number && entry.tables > 0));
        self.numbers.retain(|_, entry| entry.tables > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(last: u8) -> RouteHop {
        RouteHop::Gateway { gateway: std::net::IpAddr::from([10, 0, 0, last]), device: 0 }
    }

    #[test]
    fn a_hop_keeps_its_number_until_its_last_table_is_gone() {
        let mut hops = Hops::default();
        assert_eq!(hops.take(RouteHop::Pass), Some((HOP_NONE, false)));
        assert_eq!(hops.take(hop(1)), Some((1, true)));
        assert_eq!(hops.take(hop(2)), Some((2, true)));
        assert_eq!(hops.take(hop(1)), Some((1, false)));
        hops.give_back(&[hop(1)].into());
        assert_eq!(hops.take(hop(3)), Some((3, true)));
        hops.give_back(&[hop(1)].into());
        assert_eq!(hops.take(hop(4)), Some((1, true)));
    }

    #[test]
    fn numbers_of_an_earlier_process_are_not_given_out_while_its_tables_may_be_in_use() {
        let mut hops = Hops::default();
        hops.adopt(hop(1), 1);
        hops.adopt(hop(2), 2);
        assert_eq!(hops.take(hop(2)), Some((2, false)));
        assert_eq!(hops.take(hop(3)), Some((3, true)));
        hops.forget_unused();
        assert_eq!(hops.take(hop(4)), Some((1, true)));
        assert_eq!(hops.take(hop(2)), Some((2, false)));
    }

    #[test]
    fn when_all_numbers_are_taken_there_is_none() {
        let mut hops = Hops { used: (1..MAX_NEXT_HOPS).collect(), ..Hops::default() };
        assert_eq!(hops.take(hop(1)), None);
    }
}
