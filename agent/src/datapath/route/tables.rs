//! Tables in the kernel: tries built aside, put in force by one write.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::{Ebpf, maps::MapData};
use ipnet::IpNet;
use plexus_abi::{
    HOP_NONE, MAX_NEXT_HOPS, MAX_ROUTE_TABLES, NextHop, ROUTE_SLOTS, route_generation, route_slot, route_word,
};

use super::{
    hops::Hops,
    spec::{self, RouteHop, RouteSpec},
};
use crate::datapath::{
    error::{DatapathError, Result, map_error},
    maps::{ROUTES_V4, ROUTES_V6, Table},
    pins::Pins,
    sys,
};
use crate::fault;

/// Length of a prefix and the address, as the trie of a family has its keys.
const V4_KEY_BYTES: usize = 4 + 4;
const V6_KEY_BYTES: usize = 4 + 16;

/// All tables of this node.
pub(in crate::datapath) struct Routes {
    words: Table<u64>,
    next_hops: Table<NextHop>,
    v4: MapData,
    v6: MapData,
    hops: Hops,
    /// Tables that this process has set.
    known: BTreeMap<u32, Known>,
    /// Tables of an earlier process, whose content is not known yet.
    adopted: BTreeSet<u32>,
    slots: BTreeSet<u32>,
    /// Of the last change, of whatever table: no two states of this node's tables have the same word.
    generation: u32,
}

/// What is kept of a table.
struct Known {
    digest: u64,
    hops: BTreeSet<RouteHop>,
}

/// Keys and values of a family.
struct Family {
    key_bytes: usize,
    keys: Vec<u8>,
    values: Vec<u32>,
}

impl Routes {
    /// Takes the maps over, and what an earlier process left in them.
    pub(in crate::datapath) fn take(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self> {
        let open = |name: &'static str| MapData::from_pin(pins.map(name)).map_err(map_error(name, "open"));
        let mut routes = Self {
            words: Table::take(ebpf, "ROUTE_TABLES")?,
            next_hops: Table::take(ebpf, "NEXT_HOPS")?,
            v4: open(ROUTES_V4)?,
            v6: open(ROUTES_V6)?,
            hops: Hops::default(),
            known: BTreeMap::new(),
            adopted: BTreeSet::new(),
            slots: BTreeSet::new(),
            generation: 0,
        };
        routes.adopt()?;
        Ok(routes)
    }

    fn adopt(&mut self) -> Result<()> {
        for table in 1..=MAX_ROUTE_TABLES {
            let word = self.words.get(table)?;
            if word != 0 {
                self.adopted.insert(table);
                self.slots.insert(route_slot(word));
                self.generation = self.generation.max(route_generation(word));
            }
        }
        if self.adopted.is_empty() {
            return Ok(());
        }
        for number in 1..MAX_NEXT_HOPS {
            let hop = self.next_hops.get(number)?;
            if let Some(known) = RouteHop::of_abi(&hop) {
                self.hops.adopt(known, number);
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self, table: u32, routes: &[RouteSpec]) -> Result<()> {
        spec::check(table, routes)?;
        let digest = spec::digest(routes);
        if self.known.get(&table).is_some_and(|known| known.digest == digest) {
            return Ok(());
        }
        let hops: BTreeSet<RouteHop> = routes.iter().map(|route| route.hop).collect();
        let numbers = self.number(table, &hops)?;
        match self.replace(table, routes, &numbers) {
            Ok(()) => {
                let old = self.known.insert(table, Known { digest, hops });
                self.settle(table, old);
                Ok(())
            }
            Err(error) => {
                self.hops.give_back(&hops);
                Err(error)
            }
        }
    }

    /// A number for each hop, written where it is new; all or none.
    fn number(&mut self, table: u32, hops: &BTreeSet<RouteHop>) -> Result<BTreeMap<RouteHop, u32>> {
        let mut numbers = BTreeMap::new();
        for hop in hops {
            let taken = self.hops.take(*hop).ok_or_else(|| DatapathError::Routes {
                table,
                reason: format!("all {MAX_NEXT_HOPS} next hops of this node are in use; use fewer gateways"),
            });
            let written = taken.and_then(|(number, is_new)| {
                numbers.insert(*hop, number);
                if is_new { self.next_hops.set(number, hop.to_abi()) } else { Ok(()) }
            });
            if let Err(error) = written {
                self.hops.give_back(&numbers.into_keys().collect());
                return Err(error);
            }
        }
        Ok(numbers)
    }

    /// Builds the tries in a free slot, writes the word, frees the old slot.
    fn replace(&mut self, table: u32, routes: &[RouteSpec], numbers: &BTreeMap<RouteHop, u32>) -> Result<()> {
        let (v4, v6) = (Family::of(routes, numbers, true), Family::of(routes, numbers, false));
        let tries =
            [(&self.v4, ROUTES_V4, v4.build(ROUTES_V4)?), (&self.v6, ROUTES_V6, v6.build(ROUTES_V6)?)];
        let slot = (0..ROUTE_SLOTS).find(|slot| !self.slots.contains(slot)).ok_or_else(|| {
            DatapathError::Routes {
                table,
                reason: "no place is left for its routes; use fewer tables".into(),
            }
        })?;
        for (map, name, trie) in &tries {
            let fd = map.fd().as_fd();
            // A trie without prefixes is left out: the look-up ends one step earlier.
            match trie {
                Some(trie) => sys::set_map_word(fd, slot, trie.as_raw_fd().cast_unsigned()),
                None => sys::delete_entry(fd, slot),
            }
            .map_err(map_error(name, "change"))?;
            fault::point();
        }
        let old = self.words.get(table)?;
        self.slots.insert(slot);
        // Never 0, so that no word is.
        self.generation = self.generation.wrapping_add(1).max(1);
        self.words.set(table, route_word(self.generation, slot))?;
        if old != 0 {
            self.free(route_slot(old))?;
        }
        Ok(())
    }

    /// Empties a slot that no word names. The call returns when no program sees its tries any more (the kernel waits for
    /// that in a change of a map of maps), and the kernel frees them on a thread of its own.
    fn free(&mut self, slot: u32) -> Result<()> {
        for (map, name) in [(&self.v4, ROUTES_V4), (&self.v6, ROUTES_V6)] {
            sys::delete_entry(map.fd().as_fd(), slot).map_err(map_error(name, "change"))?;
        }
        self.slots.remove(&slot);
        Ok(())
    }

    pub(super) fn remove(&mut self, table: u32) -> Result<()> {
        if !self.known.contains_key(&table) && !self.adopted.contains(&table) {
            return Ok(());
        }
        let word = self.words.get(table)?;
        if word != 0 {
            self.words.set(table, 0)?;
            self.free(route_slot(word))?;
        }
        let old = self.known.remove(&table);
        self.settle(table, old);
        Ok(())
    }

    pub(super) fn keep(&mut self, known: &[u32]) -> Result<()> {
        let strangers: Vec<u32> = self
            .adopted
            .iter()
            .chain(self.known.keys())
            .copied()
            .filter(|table| !known.contains(table))
            .collect();
        strangers.into_iter().try_for_each(|table| self.remove(table))
    }

    /// A table's old content is gone: so are its hops, and an earlier process has one table less here.
    fn settle(&mut self, table: u32, old: Option<Known>) {
        if let Some(old) = old {
            self.hops.give_back(&old.hops);
        }
        if self.adopted.remove(&table) && self.adopted.is_empty() {
            self.hops.forget_unused();
        }
    }
}

impl Family {
    fn of(routes: &[RouteSpec], numbers: &BTreeMap<RouteHop, u32>, is_v4: bool) -> Self {
        let key_bytes = if is_v4 { V4_KEY_BYTES } else { V6_KEY_BYTES };
        let mut family = Self { key_bytes, keys: Vec::new(), values: Vec::new() };
        for route in routes.iter().filter(|route| route.dst.addr().is_ipv4() == is_v4) {
            family.keys.extend(u32::from(route.dst.prefix_len()).to_ne_bytes());
            match route.dst {
                IpNet::V4(net) => family.keys.extend(net.network().octets()),
                IpNet::V6(net) => family.keys.extend(net.network().octets()),
            }
            family.values.push(numbers.get(&route.hop).copied().unwrap_or(HOP_NONE));
        }
        family
    }

    /// A trie with these prefixes; none for no prefix.
    fn build(&self, name: &'static str) -> Result<Option<OwnedFd>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let build = || {
            let entries = u32::try_from(self.values.len()).map_err(std::io::Error::other)?;
            let key_bytes = u32::try_from(self.key_bytes).map_err(std::io::Error::other)?;
            let trie = sys::create_trie(key_bytes, entries)?;
            sys::fill_trie(trie.as_fd(), self.key_bytes, &self.keys, &self.values)?;
            Ok(Some(trie))
        };
        build().map_err(map_error::<std::io::Error>(name, "build a trie of"))
    }
}
