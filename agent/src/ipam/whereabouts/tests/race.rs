//! Many who allocate from one pool at the same time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::cluster::{Allocation, ApiErrorKind, PoolChange, Reservation};

/// Who was given what and has it, across all writers: an address that is given twice is seen at once.
#[derive(Default)]
struct Ledger(Mutex<BTreeSet<String>>);

impl Ledger {
    fn given(&self, address: &str) {
        assert!(self.0.lock().unwrap().insert(address.to_owned()), "{address} was given twice");
    }

    fn back(&self, address: &str) {
        assert!(self.0.lock().unwrap().remove(address), "{address} came back twice");
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// One node with the original plugin: it reads the pool, looks for a reservation, patches with the version tested, and
/// makes the reservation after that; at DEL the other way round.
struct Original<'a> {
    store: &'a MemoryPools,
    pool: &'a str,
    range: range::Range,
}

impl Original<'_> {
    fn add(&self, id: &str) -> Option<u128> {
        let mut elsewhere = BTreeSet::new();
        for _ in 0..200 {
            let Some(pool) = self.store.pool(self.pool, later()).unwrap() else {
                self.store.create_pool(self.pool, &self.range.network.to_string(), later()).ok();
                continue;
            };
            let offset = choose::lowest_free(&self.range, &pool.allocations, &elsewhere, 0)?;
            let name = names::reservation("", self.range.address(offset).unwrap());
            if self.store.reservation(&name, later()).unwrap().is_some() {
                elsewhere.insert(offset);
                continue;
            }
            let holder = Allocation { id: id.into(), podref: format!("n/{id}"), ifname: "net1".into() };
            let change = PoolChange { offset, to: Some(holder.clone()) };
            match self.store.change_pool_of_version(&pool, &[change], later()) {
                Err(error) if error.kind == ApiErrorKind::Conflict => continue,
                outcome => drop(outcome.unwrap()),
            }
            let Allocation { podref, ifname, .. } = holder;
            let reservation = Reservation { name, podref, ifname, ..Reservation::default() };
            if self.store.reserve(&reservation, later()).is_ok() {
                return Some(offset);
            }
            // Its ADD fails; the runtime sends a DEL, which takes back the allocation.
            self.free(id, offset);
        }
        None
    }

    fn free(&self, id: &str, offset: u128) {
        loop {
            let pool = self.store.pool(self.pool, later()).unwrap().unwrap();
            if pool.allocations.get(&offset).is_none_or(|held| held.id != id) {
                return;
            }
            let freed = PoolChange { offset, to: None };
            if self.store.change_pool_of_version(&pool, &[freed], later()).is_ok() {
                return;
            }
        }
    }

    fn del(&self, id: &str, offset: u128) {
        self.free(id, offset);
        let name = names::reservation("", self.range.address(offset).unwrap());
        self.store.unreserve(&name, None, later()).unwrap();
    }
}

#[test]
fn agents_and_an_original_share_a_pool_without_a_duplicate_or_a_leak() {
    let store = Arc::new(MemoryPools::default());
    let (ledger, config) = (Ledger::default(), ipam("10.0.0.0/25"));
    let text = range::RangeText { range: "10.0.0.0/25".into(), ..range::RangeText::default() };
    let range = range::Range::new(&text, "r").unwrap();
    std::thread::scope(|scope| {
        for agent in 0..3 {
            let (store, ledger, config) = (&store, &ledger, &config);
            scope.spawn(move || {
                let node = Node::on(store);
                std::thread::scope(|workers| {
                    for worker in 0..4 {
                        let node = &node;
                        workers.spawn(move || {
                            for round in 0..12 {
                                let id = format!("a{agent}-{worker}-{round}");
                                let given = node.add(config, who(&id, &id)).unwrap();
                                ledger.given(&given[0]);
                                std::thread::yield_now();
                                ledger.back(&given[0]);
                                node.del(config, who(&id, &id));
                            }
                        });
                    }
                });
                assert!(node.cluster.pending.is_empty());
            });
        }
        let (store, ledger) = (&store, &ledger);
        scope.spawn(move || {
            let original = Original { store, pool: "10.0.0.0-25", range: range.clone() };
            for round in 0..40 {
                let id = format!("o{round}");
                let Some(offset) = original.add(&id) else { continue };
                let address = range.address(offset).unwrap().to_string();
                ledger.given(&address);
                std::thread::yield_now();
                ledger.back(&address);
                original.del(&id, offset);
            }
        });
    });
    assert_eq!(held(&store), Vec::<String>::new());
    assert_eq!(reserved(&store), Vec::<String>::new());
}

#[test]
fn many_adds_of_one_agent_go_with_few_patches() {
    let store = Arc::new(MemoryPools::with_latency(Duration::from_millis(10)));
    let (node, config) = (Node::on(&store), ipam("10.0.0.0/24"));
    node.add(&config, who("first", "first")).unwrap();
    let before = store.count();
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for at in 0..32 {
            let (node, config, all) = (&node, &config, &all);
            scope.spawn(move || {
                let id = format!("c{at}");
                let given = node.add(config, who(&id, &id)).unwrap();
                all.lock().unwrap().extend(given);
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert_eq!(unique(&all).len(), 32);
    let requests = store.requests().split_off(before);
    let patches = requests.iter().filter(|request| **request == ("patch", "ippools")).count();
    assert!(patches <= 20, "{patches} patches for 32 addresses");
    assert_eq!(requests.len() - patches, 32, "one reservation each: {requests:?}");
}

#[test]
fn an_address_that_another_node_takes_in_between_is_not_ours() {
    let store = Arc::new(MemoryPools::default());
    let (node, config) = (Node::on(&store), ipam("10.0.0.0/24"));
    node.add(&config, who("c1", "p1")).unwrap();
    // Right before our patch, after our reservation.
    store.before(1, |content| {
        let pool = content.pools.get_mut("10.0.0.0-24").unwrap();
        let other = Allocation { id: "o".into(), podref: "n/o".into(), ifname: "net1".into() };
        pool.allocations.insert(2, other);
    });
    assert_eq!(node.add(&config, who("c2", "p2")).unwrap(), ["10.0.0.3"]);
    assert_eq!(
        reserved(&store),
        ["10.0.0.1 by c1", "10.0.0.3 by c2"],
        "the lost one's reservation is given back"
    );
    assert!(node.cluster.retries() >= 1);
}

#[test]
fn a_reservation_of_another_range_that_appears_in_between_is_respected() {
    let store = Arc::new(MemoryPools::default());
    let (node, config) = (Node::on(&store), ipam("10.0.0.0/24"));
    node.add(&config, who("c1", "p1")).unwrap();
    store.edit(|content| {
        let other = Reservation { name: "10.0.0.2".into(), podref: "n/o".into(), ..Reservation::default() };
        content.reservations.insert(other.name.clone(), other);
    });
    assert_eq!(node.add(&config, who("c2", "p2")).unwrap(), ["10.0.0.3"]);
    let before = store.count();
    assert_eq!(node.add(&config, who("c3", "p3")).unwrap(), ["10.0.0.4"]);
    assert_eq!(store.count() - before, 2, "it is not tried again at once");
}

#[test]
fn agents_end_while_the_pool_is_contended_for() {
    let store = Arc::new(MemoryPools::with_latency(Duration::from_millis(1)));
    let (node, config) = (Node::on(&store), ipam("10.0.0.0/24"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, is_over) = (&store, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                store.edit(|content| {
                    for pool in content.pools.values_mut() {
                        let mark = Allocation {
                            podref: "n/mark".into(),
                            id: format!("{:?}", Instant::now()),
                            ..Allocation::default()
                        };
                        pool.allocations.insert(200, mark);
                    }
                });
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for at in 0..10 {
            let id = format!("c{at}");
            node.add(&config, who(&id, &id)).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
