//! The lab itself: its host is separate, leaves nothing, and its traffic counts right.
#![expect(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use plexus_agent::lab::leftovers::{Inventory, Kind};
use plexus_agent::lab::link::{interface_names, ip};
use plexus_agent::lab::ping::{ping, ping_from};
use plexus_agent::lab::traffic::tcp::transfer;
use plexus_agent::lab::traffic::{Flow, FlowSpec};
use plexus_agent::lab::{Host, require_binary_or_skip, require_root_or_skip};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A host with a cable to a machine outside, `192.0.2.1` and `.2`.
fn host_with_cable() -> (Host, plexus_agent::lab::NetNs) {
    let host = Host::enter().unwrap();
    let outside = host.netns_named("outside").unwrap();
    host.cable("uplink0", &outside, "eth0").unwrap();
    ip(&["addr", "add", "192.0.2.1/24", "dev", "uplink0"]).unwrap();
    outside.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
    (host, outside)
}

#[test]
fn a_host_has_only_loopback_and_is_left_behind_on_drop() {
    if !require_root_or_skip("a_host_has_only_loopback_and_is_left_behind_on_drop") {
        return;
    }
    let before = (interface_names().unwrap(), std::env::current_dir().unwrap());
    let host = Host::enter().unwrap();
    // Some kernels give each namespace a few tunnel ends beside `lo`, but nothing of the machine's.
    assert_ne!(interface_names().unwrap(), before.0);
    assert!(std::path::Path::new("/sys/class/net/lo").exists());
    assert!(!std::path::Path::new("/run/lock").exists());
    std::fs::write(host.leases_dir().join("mine"), "").unwrap();
    drop(host);
    assert_eq!((interface_names().unwrap(), std::env::current_dir().unwrap()), before);
    assert!(!std::path::Path::new("/run/plexus-lab").exists());
    assert!(!std::path::Path::new("/var/lib/cni/networks/mine").exists());
}

#[test]
fn a_panic_inside_leaves_the_host_too() {
    if !require_root_or_skip("a_panic_inside_leaves_the_host_too") {
        return;
    }
    let before = interface_names().unwrap();
    let outcome = std::panic::catch_unwind(|| {
        let _host = host_with_cable();
        panic!("on purpose");
    });
    assert!(outcome.is_err());
    assert_eq!(interface_names().unwrap(), before);
}

#[test]
fn an_inventory_shows_what_came_since() {
    if !require_root_or_skip("an_inventory_shows_what_came_since") {
        return;
    }
    let host = Host::enter().unwrap();
    let before = Inventory::take(&host).unwrap();
    ip(&["link", "add", "left0", "type", "veth", "peer", "name", "left1"]).unwrap();
    std::fs::write(host.leases_dir().join("lock"), "").unwrap();
    std::fs::write(host.leases_dir().join("10.0.0.2"), "").unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let since = Inventory::take(&host).unwrap().since(&before);
    child.kill().unwrap();
    child.wait().unwrap();
    let kinds: Vec<_> = since.iter().map(|thing| thing.kind).collect();
    assert_eq!(kinds, [Kind::Interface, Kind::Interface, Kind::Lease, Kind::Process]);
}

#[test]
fn pings_streams_and_transfers_cross_a_cable() {
    let name = "pings_streams_and_transfers_cross_a_cable";
    if !require_root_or_skip(name) || !require_binary_or_skip(name, "ping", "iputils-ping") {
        return;
    }
    let (host, outside) = host_with_cable();
    assert!(ping(host.netns(), OUTSIDE.into(), 3).unwrap().all_answered());
    assert!(ping_from(host.netns(), "uplink0", OUTSIDE.into(), 1).unwrap().all_answered());
    let nobody = IpAddr::from([192, 0, 2, 77]);
    assert_eq!(ping(host.netns(), nobody, 1).unwrap().received, 0);

    let spec = FlowSpec {
        to: SocketAddr::from((OUTSIDE, 5001)),
        rate_pps: 2_000,
        payload_bytes: 100,
        duration: Duration::from_millis(500),
        warm_up: Duration::ZERO,
    };
    let report = Flow::start(host.netns(), &outside, spec).unwrap().wait().unwrap();
    assert_eq!((report.sent, report.lost, report.duplicated), (1_000, 0, 0));

    let to = SocketAddr::from((OUTSIDE, 5002));
    let moved = transfer(host.netns(), &outside, to, Duration::from_millis(200)).unwrap();
    assert!(moved.bytes > 0);
}

#[test]
fn a_flow_counts_what_a_dead_line_loses() {
    if !require_root_or_skip("a_flow_counts_what_a_dead_line_loses") {
        return;
    }
    let (host, outside) = host_with_cable();
    // A fixed neighbour, so that the sender does not wait for ARP.
    let neighbour = ["neigh", "replace", "192.0.2.2", "lladdr", "02:00:00:00:00:99", "dev", "uplink0"];
    ip(&neighbour).unwrap();
    let spec = FlowSpec {
        to: SocketAddr::from((OUTSIDE, 5001)),
        rate_pps: 1_000,
        payload_bytes: 100,
        duration: Duration::from_millis(100),
        warm_up: Duration::ZERO,
    };
    let report = Flow::start(host.netns(), &outside, spec).unwrap().wait().unwrap();
    assert_eq!((report.sent, report.received, report.lost), (100, 0, 100));
}
