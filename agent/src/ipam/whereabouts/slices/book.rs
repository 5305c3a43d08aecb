//! What a node owns of one pool, in memory: slices, and the addresses held in them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::lease::Lease;
use super::span::Span;
use super::spec::PoolSpec;

/// A slice as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) range: IpNet,
    /// What others held inside of it when it was claimed: other pools' addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) foreign: Vec<Span>,
}

/// A slice of this node.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) kept: Kept,
    /// The API server has said since this process started that it is ours; from any other one nothing is handed out.
    pub(super) is_confirmed: bool,
    /// Addresses held in it.
    pub(super) used: usize,
    /// Since when nothing is held in it.
    pub(super) empty_since: Option<Instant>,
    /// The address given last: the next one is looked for behind it.
    last: Option<IpAddr>,
}

impl Owned {
    pub(super) fn span(&self) -> Span {
        Span::of_net(self.kept.range)
    }

    pub(super) fn capacity(&self, spec: &PoolSpec) -> u128 {
        spec.capacity(self.span(), &self.kept.foreign)
    }
}

/// Use of the confirmed slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Slices of this node.
    pub slices: usize,
    /// Addresses that they can hand out.
    pub capacity: u128,
    /// Addresses held.
    pub used: u64,
}

/// Why an address cannot be handed out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Somebody else holds it.
    Held(Lease),
    /// It is excluded, at an end of the range, or another pool's.
    Excluded,
    /// It lies in no confirmed slice of this node.
    NotOurs,
}

/// Slices and leases of one pool.
#[derive(Debug, Default)]
pub(super) struct Book {
    slices: Vec<Owned>,
    leases: BTreeMap<IpAddr, Lease>,
    /// By container and interface.
    of_container: HashMap<(String, String), IpAddr>,
    /// By the pod's UID and interface.
    of_pod: HashMap<(String, String), IpAddr>,
}

impl Book {
    /// What was on disk; no slice is confirmed yet.
    pub(super) fn open(slices: Vec<Kept>, leases: BTreeMap<IpAddr, Lease>, now: Instant) -> Self {
        let mut book = Self::default();
        for (address, lease) in leases {
            book.hold(address, lease);
        }
        for kept in slices {
            book.own(kept, false, now);
        }
        book
    }

    pub(super) fn slices(&self) -> &[Owned] {
        &self.slices
    }

    pub(super) fn leases(&self) -> &BTreeMap<IpAddr, Lease> {
        &self.leases
    }

    /// Takes a slice in, or notes anew what others hold in it; leases inside it may be known already.
    pub(super) fn own(&mut self, kept: Kept, is_confirmed: bool, now: Instant) {
        let span = Span::of_net(kept.range);
        let used = self.leases.range(span.first()..=span.last()).count();
        let empty_since = (used == 0).then_some(now);
        match self.slices.iter_mut().find(|slice| slice.kept.range == kept.range) {
            Some(slice) => {
                slice.kept = kept;
                slice.is_confirmed |= is_confirmed;
            }
            None => self.slices.push(Owned { kept, is_confirmed, used, empty_since, last: None }),
        }
    }

    /// Says of a slice whether it is ours at the API server.
    pub(super) fn confirm(&mut self, range: IpNet, is_ours: bool) {
        for slice in self.slices.iter_mut().filter(|slice| slice.kept.range == range) {
            slice.is_confirmed = is_ours;
        }
    }

    /// Lets go of a slice; leases inside it stay known until their holders end.
    pub(super) fn disown(&mut self, range: IpNet) {
        self.slices.retain(|slice| slice.kept.range != range);
    }

    /// The address of this container's interface, or of the same interface of the same pod.
    pub(super) fn find(&self, lease: &Lease) -> Option<IpAddr> {
        self.held_by(&lease.container_id, &lease.ifname).or_else(|| {
            let address = self.of_pod.get(&of_pod(lease))?;
            self.leases.get(address).is_some_and(|held| held.is_of_same_pod(lease)).then_some(*address)
        })
    }

    /// The address of this container's interface.
    pub(super) fn held_by(&self, container_id: &str, ifname: &str) -> Option<IpAddr> {
        self.of_container.get(&(container_id.to_owned(), ifname.to_owned())).copied()
    }

    /// The next free address of the first slice that has one, so that later slices become empty.
    pub(super) fn next_free(&self, spec: &PoolSpec) -> Option<IpAddr> {
        self.slices.iter().filter(|slice| slice.is_confirmed).find_map(|slice| {
            let spans = spec.usable_in(slice.span(), &slice.kept.foreign);
            let behind = slice.last.and_then(|last| slice.span().after(last));
            let later = spans.iter().filter_map(|span| behind?.meet(*span));
            // A step that finds no free address meets a held one, so the walk is no longer than the leases are many.
            later
                .chain(spans.iter().copied())
                .find_map(|span| span.addresses().find(|address| !self.leases.contains_key(address)))
        })
    }

    /// Whether this very address can be handed out.
    pub(super) fn offers(&self, spec: &PoolSpec, address: IpAddr) -> Result<(), Refusal> {
        let slice = self.slices.iter().find(|slice| slice.is_confirmed && slice.span().contains(address));
        let slice = slice.ok_or(Refusal::NotOurs)?;
        if let Some(holder) = self.leases.get(&address) {
            return Err(Refusal::Held(holder.clone()));
        }
        let spans = spec.usable_in(slice.span(), &slice.kept.foreign);
        spans.iter().any(|span| span.contains(address)).then_some(()).ok_or(Refusal::Excluded)
    }

    /// Notes a holder, in the place of another one where there is one.
    pub(super) fn hold(&mut self, address: IpAddr, lease: Lease) {
        let before = self.leases.insert(address, lease.clone());
        let is_new = before.is_none();
        self.forget(address, before);
        self.of_pod.insert(of_pod(&lease), address);
        self.of_container.insert((lease.container_id, lease.ifname), address);
        if let Some(slice) = self.slice_of(address).filter(|_| is_new) {
            slice.used += 1;
            slice.empty_since = None;
            slice.last = Some(address);
        }
    }

    /// Frees an address.
    pub(super) fn free(&mut self, address: IpAddr, now: Instant) {
        let Some(lease) = self.leases.remove(&address) else { return };
        self.forget(address, Some(lease));
        if let Some(slice) = self.slice_of(address) {
            slice.used = slice.used.saturating_sub(1);
            slice.empty_since = (slice.used == 0).then_some(now);
        }
    }

    /// Use of the confirmed slices.
    pub(super) fn usage(&self, spec: &PoolSpec) -> Usage {
        let confirmed = self.slices.iter().filter(|slice| slice.is_confirmed);
        confirmed.fold(Usage::default(), |sum, slice| Usage {
            slices: sum.slices + 1,
            capacity: sum.capacity.saturating_add(slice.capacity(spec)),
            used: sum.used + slice.used as u64,
        })
    }

    /// Takes a lease out of the indexes, where they still lead to its address.
    fn forget(&mut self, address: IpAddr, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        if self.of_pod.get(&of_pod(&lease)) == Some(&address) {
            self.of_pod.remove(&of_pod(&lease));
        }
        let of_container = (lease.container_id, lease.ifname);
        if self.of_container.get(&of_container) == Some(&address) {
            self.of_container.remove(&of_container);
        }
    }

    fn slice_of(&mut self, address: IpAddr) -> Option<&mut Owned> {
        self.slices.iter_mut().find(|slice| slice.span().contains(address))
    }
}

fn of_pod(lease: &Lease) -> (String, String) {
    (lease.pod_uid.clone(), lease.ifname.clone())
}

#[cfg(test)]
mod tests {
    use super::super::lease::tests::lease;
    use super::super::spec::tests::spec;
    use super::*;

    fn book(ranges: &[&str]) -> Book {
        let mut book = Book::default();
        for range in ranges {
            book.own(Kept { range: range.parse().unwrap(), foreign: Vec::new() }, true, Instant::now());
        }
        book
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_slice_fills_before_the_next_and_addresses_go_round() {
        let spec = spec("10.0.0.0/28", "/30");
        let mut book = book(&["10.0.0.4/30", "10.0.0.0/30"]);
        let mut given = Vec::new();
        for at in 0..7 {
            let address = book.next_free(&spec).unwrap();
            book.hold(address, lease(at));
            given.push(address.to_string());
            if at == 0 {
                book.free(address, Instant::now());
            }
        }
        // 10.0.0.4 was freed at once and comes last of its slice; 10.0.0.0 is the range's own first address.
        let expected = ["4", "5", "6", "7", "4", "1", "2"].map(|last| format!("10.0.0.{last}"));
        assert_eq!(given, expected);
        assert_eq!(book.usage(&spec), Usage { slices: 2, capacity: 7, used: 6 });
    }

    #[test]
    fn nothing_comes_from_a_slice_that_is_not_confirmed() {
        let spec = spec("10.0.0.0/24", "/28");
        let kept = Kept { range: "10.0.0.16/28".parse().unwrap(), foreign: Vec::new() };
        let mut book = Book::open(vec![kept], BTreeMap::from([(ip("10.0.0.20"), lease(1))]), Instant::now());
        assert_eq!(book.next_free(&spec), None);
        assert_eq!(book.offers(&spec, ip("10.0.0.21")), Err(Refusal::NotOurs));
        book.confirm("10.0.0.16/28".parse().unwrap(), true);
        assert_eq!(book.next_free(&spec), Some(ip("10.0.0.16")));
        assert_eq!(book.offers(&spec, ip("10.0.0.20")), Err(Refusal::Held(lease(1))));
        assert_eq!(book.slices()[0].used, 1);
    }

    #[test]
    fn what_others_hold_is_not_handed_out() {
        let spec = spec("10.0.0.0/24", "/30");
        let mut book = book(&["10.0.0.8/30"]);
        let foreign = vec![Span::of(ip("10.0.0.8")), Span::of(ip("10.0.0.10"))];
        book.own(Kept { range: "10.0.0.8/30".parse().unwrap(), foreign }, true, Instant::now());
        assert_eq!(book.next_free(&spec), Some(ip("10.0.0.9")));
        assert_eq!(book.offers(&spec, ip("10.0.0.10")), Err(Refusal::Excluded));
        assert_eq!(book.usage(&spec).capacity, 2);
    }

    #[test]
    fn a_new_sandbox_of_the_same_pod_finds_its_address_and_one_of_its_name_does_not() {
        let spec = spec("10.0.0.0/24", "/28");
        let mut book = book(&["10.0.0.16/28"]);
        let address = book.next_free(&spec).unwrap();
        book.hold(address, lease(1));
        let again = Lease { container_id: "other".into(), ..lease(1) };
        assert_eq!(book.find(&again), Some(address));
        book.hold(address, again.clone());
        assert_eq!(
            book.held_by(&lease(1).container_id, "net1"),
            None,
            "the DEL of the old sandbox frees nothing"
        );
        assert_eq!(
            book.find(&Lease { container_id: "third".into(), pod_uid: "new".into(), ..lease(1) }),
            None
        );
        assert_eq!(book.slices()[0].used, 1);
    }
}
