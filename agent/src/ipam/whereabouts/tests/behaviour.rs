//! ADD, CHECK, DEL and GC on the pools of a cluster.

use plexus_cni::Code;

use super::*;
use crate::cluster::{Allocation, Reservation};
use crate::lab::Fault;

#[test]
fn a_warm_add_and_its_del_are_two_requests_each() {
    let store = Arc::new(MemoryPools::default());
    let (node, config) = (Node::on(&store), ipam("10.0.0.0/24"));
    assert_eq!(node.add(&config, who("c1", "p1")).unwrap(), ["10.0.0.1"]);
    let before = store.count();
    assert_eq!(node.add(&config, who("c2", "p2")).unwrap(), ["10.0.0.2"]);
    let warm = [("create", "overlappingrangeipreservations"), ("patch", "ippools")];
    assert_eq!(store.requests()[before..], warm);
    let before = store.count();
    node.del(&config, who("c1", "p1"));
    let warm = [("delete", "overlappingrangeipreservations"), ("patch", "ippools")];
    assert_eq!(store.requests()[before..], warm);
    assert_eq!(
        (held(&store), reserved(&store)),
        (vec!["10.0.0.2 by c2".into()], vec!["10.0.0.2 by c2".into()])
    );
    assert_eq!(
        node.add(&config, who("c3", "p3")).unwrap(),
        ["10.0.0.1"],
        "the lowest free one, as the original"
    );
}

#[test]
fn without_overlapping_ranges_a_warm_add_is_one_request() {
    let store = Arc::new(MemoryPools::default());
    let node = Node::on(&store);
    let config = json!({"ipam": {"range": "10.0.0.0/24", "enable_overlapping_ranges": false}});
    node.add(&config, who("c1", "p1")).unwrap();
    let before = store.count();
    node.add(&config, who("c2", "p2")).unwrap();
    assert_eq!(store.requests()[before..], [("patch", "ippools")]);
    assert!(reserved(&store).is_empty());
}

#[test]
fn each_range_gives_one_address_and_static_ones_follow() {
    let node = Node::on(&Arc::default());
    let config = json!({"ipam": {
        "range": "10.0.0.0/24", "ipRanges": [{"range": "fd00::/64"}], "gateway": "10.0.0.1",
        "addresses": [{"address": "10.9.0.1/24"}], "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {"nameservers": ["10.0.0.9"]},
    }});
    let result = node.result(&config, who("c", "p")).unwrap();
    let texts: Vec<String> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
    assert_eq!(texts, ["10.0.0.2/24", "fd00::1/64", "10.9.0.1/24"], "the gateway itself is not given");
    let gateways: Vec<bool> = result.ips.iter().map(|ip| ip.gateway.is_some()).collect();
    assert_eq!(gateways, [true, false, false], "the gateway is of one family");
    assert_eq!((result.routes.len(), result.dns.0.len()), (1, 1));
    let names: Vec<String> = node.store.content().pools.into_keys().collect();
    assert_eq!(names, ["10.0.0.0-24", "fd00---64"]);
    node.del(&config, who("c", "p"));
    assert_nothing_held(&node.store, "after DEL");
}

#[test]
fn the_next_sandbox_of_a_pod_has_its_address_and_the_old_ones_del_leaves_it() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/24");
    node.add(&config, who("other", "q")).unwrap();
    assert_eq!(node.add(&config, who("old", "p")).unwrap(), ["10.0.0.2"]);
    assert_eq!(node.add(&config, who("new", "p")).unwrap(), ["10.0.0.2"]);
    let second = Who { ifname: "net2", ..who("new", "p") };
    assert_eq!(node.add(&config, second).unwrap(), ["10.0.0.3"], "another interface, another address");
    node.del(&config, who("old", "p"));
    assert!(held(&node.store).contains(&"10.0.0.2 by new".to_owned()));
    assert!(reserved(&node.store).contains(&"10.0.0.2 by new".to_owned()));
}

#[test]
fn a_requested_address_is_allocated_or_refused_with_its_holder() {
    let node = Node::on(&Arc::default());
    let mut config = ipam("10.0.0.0/24");
    config["runtimeConfig"] = json!({"ips": ["10.0.0.77/24"]});
    assert_eq!(node.add(&config, who("c1", "p1")).unwrap(), ["10.0.0.77"]);
    assert_eq!(held(&node.store), ["10.0.0.77 by c1"]);
    let error = node.add(&config, who("c2", "p2")).unwrap_err();
    assert_eq!(error.code, Code::AddressUnavailable);
    assert!(error.msg.contains("10.0.0.77") && error.details.contains("n/p1"), "{error}");
    node.del(&config, who("c1", "p1"));
    assert_eq!(node.add(&config, who("c2", "p2")).unwrap(), ["10.0.0.77"]);
}

#[test]
fn overlapping_ranges_never_give_one_address_twice() {
    let node = Node::on(&Arc::default());
    let (large, small) = (ipam("10.0.0.0/16"), ipam("10.0.0.0/28"));
    let mut all = Vec::new();
    for at in 0..5 {
        let (one, two) = (format!("l{at}"), format!("s{at}"));
        all.extend(node.add(&large, who(&one, &one)).unwrap());
        all.extend(node.add(&small, who(&two, &two)).unwrap());
    }
    assert_eq!(unique(&all).len(), 10, "{all:?}");
    let both = json!({"ipam": {"range": "10.0.0.0/16", "ipRanges": [{"range": "10.0.0.0/28"}]}});
    let pair = node.add(&both, who("b", "b")).unwrap();
    assert!(pair[0] != pair[1] && !all.contains(&pair[0]) && !all.contains(&pair[1]), "{pair:?} and {all:?}");
    node.del(&both, who("b", "b"));
    assert_eq!(held(&node.store).len(), 10);
}

#[test]
fn a_full_range_is_said_with_its_use_and_its_holders() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/30");
    node.add(&config, who("c1", "p1")).unwrap();
    assert!(node.ask(&config, who("", ""), |request| Ipam::Whereabouts.status(request)).is_ok());
    node.add(&config, who("c2", "p2")).unwrap();
    let error = node.add(&config, who("c3", "p3")).unwrap_err();
    assert_eq!(error.code, Code::RangeExhausted);
    assert!(error.msg.contains("10.0.0.0/30") && error.msg.contains("2 of 2"), "{error}");
    assert!(error.details.contains("namespace n (2)"), "{error}");
    let status = node.ask(&config, who("", ""), |request| Ipam::Whereabouts.status(request));
    assert_eq!(status.unwrap_err().code, Code::Unavailable);
    assert_eq!(reserved(&node.store).len(), 2, "nothing is left of the refused one");
}

#[test]
fn an_address_of_an_earlier_part_is_released_when_a_later_part_fails() {
    let node = Node::on(&Arc::default());
    let config = json!({"ipam": {"range": "10.0.0.0/24", "ipRanges": [{"range": "10.9.0.0/30"}]}});
    let small = ipam("10.9.0.0/30");
    for at in ["a", "b"] {
        node.add(&small, who(at, at)).unwrap();
    }
    assert_eq!(node.add(&config, who("c", "p")).unwrap_err().code, Code::RangeExhausted);
    assert_eq!((held(&node.store).len(), reserved(&node.store).len()), (2, 2));
}

#[test]
fn check_wants_the_allocation_to_be_there_and_ours() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/24");
    let given = node.add(&config, who("c", "p")).unwrap();
    node.check(&config, who("c", "p"), &given).unwrap();
    for (who, addresses) in [
        (who("other", "p"), given.clone()),
        (who("c", "p"), vec!["10.0.0.9".into()]),
        (who("c", "p"), vec!["10.7.0.9".into()]),
    ] {
        assert_eq!(node.check(&config, who, &addresses).unwrap_err().code, Code::CheckFailed);
    }
    node.store.edit(|content| content.pools.get_mut("10.0.0.0-24").unwrap().allocations.clear());
    assert_eq!(node.check(&config, who("c", "p"), &given).unwrap_err().code, Code::CheckFailed);
}

#[test]
fn while_the_api_server_is_away_del_succeeds_and_the_release_follows() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/24");
    for at in ["a", "b"] {
        node.add(&config, who(at, at)).unwrap();
    }
    node.store.die(0, Fault::Before);
    for at in ["a", "b"] {
        node.del(&config, who(at, at));
    }
    assert_eq!((held(&node.store).len(), node.cluster.pending.len()), (2, 2));
    let node = node.restarted();
    node.retry();
    assert_eq!(node.cluster.pending.len(), 2, "it is still away");
    node.store.revive();
    node.retry();
    assert!(node.cluster.pending.is_empty());
    assert_nothing_held(&node.store, "after the retry");
}

#[test]
fn an_add_after_a_kept_release_keeps_its_address() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/24");
    node.add(&config, who("c", "p")).unwrap();
    node.store.die(0, Fault::Before);
    node.del(&config, who("c", "p"));
    node.store.revive();
    let given = node.add(&config, who("c", "p")).unwrap();
    node.retry();
    node.check(&config, who("c", "p"), &given).unwrap();
}

#[test]
fn gc_releases_earlier_sandboxes_of_this_nodes_pods_only() {
    let node = Node::on(&Arc::default());
    let config = ipam("10.0.0.0/24");
    node.add(&config, who("live", "p")).unwrap();
    let holder =
        |id: &str, podref: &str| Allocation { id: id.into(), podref: podref.into(), ifname: "net9".into() };
    node.store.edit(move |content| {
        let pool = content.pools.get_mut("10.0.0.0-24").unwrap();
        pool.allocations.insert(7, holder("stale", "n/p"));
        pool.allocations.insert(8, holder("elsewhere", "n/other"));
        let left = Reservation {
            name: "10.0.0.7".into(),
            podref: "n/p".into(),
            ifname: "net9".into(),
            ..Reservation::default()
        };
        content.reservations.insert(left.name.clone(), left);
    });
    let live = [LiveSandbox { container_id: "live".into(), podref: "n/p".into() }];
    node.ask(&config, who("", ""), |request| Ipam::Whereabouts.gc(request, &[], &live)).unwrap();
    assert_eq!(held(&node.store), ["10.0.0.1 by live", "10.0.0.8 by elsewhere"]);
    assert_eq!(reserved(&node.store), ["10.0.0.1 by live"]);
}

#[test]
fn a_pool_of_another_range_is_not_written_to() {
    let store = Arc::new(MemoryPools::default());
    store.create_pool("10.0.0.0-24", "10.0.0.7/24", Instant::now() + Duration::from_secs(9)).unwrap();
    let error = Node::on(&store).add(&ipam("10.0.0.0/24"), who("c", "p")).unwrap_err();
    assert!(error.to_string().contains("10.0.0.7/24"), "{error}");
    assert_nothing_held(&store, "refused");
}

#[test]
fn a_pod_that_nobody_named_gets_nothing() {
    let node = Node::on(&Arc::default());
    let (config, args) = (ipam("10.0.0.0/24"), CniArgs::default());
    let request = IpamRequest {
        cluster: Some(&node.cluster),
        ..crate::ipam::testing::request(config.as_object().unwrap(), &args)
    };
    let error = Ipam::Whereabouts.add(&request).unwrap_err();
    assert!(error.code == Code::InvalidConfig && error.details.contains("K8S_POD_NAME"), "{error}");
}
