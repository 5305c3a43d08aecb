//! Networks that learn: stations behind pods and outside, their moves, limits and ageing.

mod bpf_rig;

use std::time::{Duration, Instant};

use bpf_rig::{
    Rig,
    frames::{self, ARP, BROADCAST},
    ifindex,
    kernel::{Kernel, TC_REDIRECT, TCX_NEXT},
    pod::{Machine, fastpath},
};
use plexus_abi::{MAX_STATIONS_PER_PORT, port_ifindex};
use plexus_agent::datapath::{Datapath, Forwarding, Guard, NetworkSpec, PortSpec, XdpChoice, edge::VlanEdge};

const NETWORK: u32 = 7;
const VLAN: u16 = 100;
const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 9];
const NESTED: [u8; 6] = [2, 0, 0, 0, 5, 1];
const POD: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Long, so that what pods say by themselves is not taken for a test's frame.
const PAYLOAD: [u8; 1000] = [7; 1000];
/// A generous limit for what happens by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pods 1 and 2 without guards, and an uplink, on a network that learns.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    pods: [Machine; 2],
    outside: Machine,
    uplink: u32,
    rig: Rig,
}

fn network(forwarding: Forwarding) -> NetworkSpec {
    let uplink_ifindex = Some(ifindex("uplink"));
    NetworkSpec { id: NETWORK, uplink_ifindex, vlan: VLAN, xdp: XdpChoice::Always, forwarding }
}

fn learning() -> Forwarding {
    Forwarding { learning: true, ..Forwarding::default() }
}

impl Bench {
    fn new(test: &str, forwarding: Forwarding) -> Option<Self> {
        let rig = Rig::new(test)?;
        let outside = Machine::behind(9, "uplink", 0);
        let pods = [1, 2].map(|id: u8| Machine::behind(id, &format!("pod{id}"), port_ifindex(id.into())));
        let datapath = rig.open();
        datapath.upsert_network(&network(forwarding)).expect("network");
        for (id, pod) in (1..).zip(&pods) {
            let guard = Guard { mac: false, ip: false };
            datapath.add_port(&PortSpec { guard, ..fastpath(id, pod, NETWORK, VLAN) }).expect("port");
        }
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, pods, outside, uplink: ifindex("uplink"), rig })
    }

    fn received(&self) -> [u64; 2] {
        [1, 2].map(|port| self.datapath.counters(port).expect("counters").rx_bytes)
    }

    /// Runs a frame and tells which of the pods got it.
    fn receivers(&self, run: impl FnOnce(&Kernel) -> i32) -> (i32, [bool; 2]) {
        let before = self.received();
        let action = run(&self.kernel);
        let after = self.received();
        (action, [0, 1].map(|pod| after[pod] >= before[pod] + PAYLOAD.len() as u64))
    }

    fn pod_sends(&self, port: u32, to: [u8; 6], from: [u8; 6]) -> (i32, [bool; 2]) {
        let frame = frames::ethernet(to, from, 0x88b5, &PAYLOAD);
        self.receivers(|kernel| kernel.tc("port_learning", port_ifindex(port), &frame).0)
    }

    fn uplink_receives(&self, to: [u8; 6], from: [u8; 6]) -> (i32, [bool; 2]) {
        let frame = frames::tagged(&frames::ethernet(to, from, 0x88b5, &PAYLOAD), 0x8100, VLAN);
        self.receivers(|kernel| kernel.tc("uplink_tc", self.uplink, &frame).0)
    }

    /// Gratuitous ARP from the uplink.
    fn announce(&self, mac: [u8; 6]) {
        let own = [10, 9, 0, 1].into();
        let packet = frames::arp(1, mac, own, own);
        let frame = frames::tagged(&frames::ethernet(BROADCAST, mac, ARP, &packet), 0x8100, VLAN);
        assert_eq!(self.kernel.tc("uplink_tc", self.uplink, &frame).0, TCX_NEXT);
    }
}

/// Tries until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_station_is_unknown_until_its_first_frame_and_then_found_behind_its_pod() {
    let test = "a_station_is_unknown_until_its_first_frame_and_then_found_behind_its_pod";
    let Some(bench) = Bench::new(test, learning()) else { return };
    assert_eq!(bench.uplink_receives(NESTED, OUTSIDE), (TCX_NEXT, [true, true]), "flooded");
    let frame = frames::ethernet(NESTED, bench.pods[1].mac, 0x88b5, &PAYLOAD);
    let over_netkit = bench.receivers(|kernel| kernel.tc("netkit_learning", port_ifindex(2), &frame).0);
    // From a pod it is flooded too, and goes out.
    assert_eq!(over_netkit, (TC_REDIRECT, [true, false]));
    assert_eq!(bench.pod_sends(2, NESTED, bench.pods[1].mac), (TC_REDIRECT, [true, false]));
    bench.pod_sends(1, BROADCAST, NESTED);
    assert_eq!(bench.uplink_receives(NESTED, OUTSIDE), (TC_REDIRECT, [true, false]));
    assert_eq!(bench.pod_sends(2, NESTED, bench.pods[1].mac), (TC_REDIRECT, [true, false]));
    // Outside was heard: its frames go there alone.
    assert_eq!(bench.pod_sends(1, OUTSIDE, NESTED), (TC_REDIRECT, [false, false]));
    assert_eq!(bench.uplink_receives(OUTSIDE, [2, 0, 0, 0, 0, 8]), (TCX_NEXT, [false, false]));
}

#[test]
fn a_station_moves_from_pod_to_pod_at_once_and_outside_after_a_pause() {
    let test = "a_station_moves_from_pod_to_pod_at_once_and_outside_after_a_pause";
    let Some(bench) = Bench::new(test, learning()) else { return };
    for (port, receivers) in [(1, [true, false]), (2, [false, true]), (1, [true, false])] {
        bench.pod_sends(port, BROADCAST, NESTED);
        // What a switch sends back right away moves nothing, and the sender does not get it.
        assert!(!bench.uplink_receives(BROADCAST, NESTED).1[port as usize - 1], "reflected");
        assert_eq!(bench.uplink_receives(NESTED, OUTSIDE), (TC_REDIRECT, receivers), "port {port}");
    }
    eventually("it moves outside", || {
        bench.uplink_receives(BROADCAST, NESTED);
        bench.pod_sends(2, NESTED, bench.pods[1].mac) == (TC_REDIRECT, [false, false])
    });
}

#[test]
fn a_pods_own_address_leaves_only_by_an_announcement_from_outside_and_returns_by_its_next_frame() {
    let test = "a_pods_own_address_leaves_only_by_an_announcement_from_outside_and_returns_by_its_next_frame";
    let Some(bench) = Bench::new(test, learning()) else { return };
    let two = bench.pods[1].mac;
    let at_home = (TC_REDIRECT, [true, false]);
    bench.pod_sends(2, BROADCAST, POD);
    assert_eq!(bench.pod_sends(2, POD, two), at_home, "another pod takes nothing");
    std::thread::sleep(Duration::from_millis(300));
    bench.uplink_receives(BROADCAST, POD);
    assert_eq!(bench.pod_sends(2, POD, two), at_home, "a frame is no announcement");
    eventually("the announcement counts", || {
        bench.announce(POD);
        bench.pod_sends(2, POD, two) == (TC_REDIRECT, [false, false])
    });
    bench.pod_sends(1, OUTSIDE, POD);
    assert_eq!(bench.pod_sends(2, POD, two), at_home);
    assert_eq!(bench.uplink_receives(POD, OUTSIDE), at_home);
}

#[test]
fn a_port_has_a_limit_of_stations_and_further_ones_are_flooded() {
    let Some(bench) = Bench::new("a_port_has_a_limit_of_stations_and_further_ones_are_flooded", learning())
    else {
        return;
    };
    let station = |number: u64| {
        let [.., high, low] = number.to_be_bytes();
        [2, 0, 0, 1, high, low]
    };
    for number in 0..=MAX_STATIONS_PER_PORT {
        bench.pod_sends(1, OUTSIDE, station(number));
    }
    let last = MAX_STATIONS_PER_PORT - 1;
    assert_eq!(bench.uplink_receives(station(last), OUTSIDE), (TC_REDIRECT, [true, false]));
    assert_eq!(bench.uplink_receives(station(last + 1), OUTSIDE), (TCX_NEXT, [true, true]));
    // Counting anew finds the same, and another port has room.
    bench.datapath.age_stations().expect("age");
    bench.pod_sends(1, OUTSIDE, station(last + 1));
    assert_eq!(bench.uplink_receives(station(last + 1), OUTSIDE), (TCX_NEXT, [true, true]));
    bench.pod_sends(2, OUTSIDE, station(last + 1));
    assert_eq!(bench.uplink_receives(station(last + 1), OUTSIDE), (TC_REDIRECT, [false, true]));
    // What leaves with its port makes room.
    bench.datapath.remove_port(1).expect("remove");
    let stations = bench.datapath.networks().expect("networks")[0].stations.expect("it learns");
    assert!((1..10).contains(&stations), "{stations}");
}

#[test]
fn a_silent_station_is_forgotten_after_the_ageing_time() {
    let forwarding = Forwarding { ageing_s: 1, ..learning() };
    let test = "a_silent_station_is_forgotten_after_the_ageing_time";
    let Some(bench) = Bench::new(test, forwarding) else { return };
    bench.pod_sends(1, BROADCAST, NESTED);
    assert_eq!(bench.uplink_receives(NESTED, OUTSIDE), (TC_REDIRECT, [true, false]));
    eventually("it is flooded again", || bench.uplink_receives(NESTED, OUTSIDE) == (TCX_NEXT, [true, true]));
    eventually("nothing is left", || {
        bench.datapath.age_stations().expect("age");
        bench.datapath.networks().expect("networks")[0].stations == Some(0)
    });
}

#[test]
fn learning_is_switched_on_and_off_under_a_running_pod() {
    let Some(bench) = Bench::new("learning_is_switched_on_and_off_under_a_running_pod", learning()) else {
        return;
    };
    let hook = || bench.datapath.port_state(1).expect("state").hooks[0].clone();
    assert_eq!((hook().name, hook().is_healthy()), ("from-pod-learning", true));
    let xdp = &bench.datapath.networks().expect("networks")[0].hooks[0];
    assert!(xdp.reason.as_ref().is_some_and(|reason| reason.contains("learns")), "{xdp:?}");
    bench.datapath.upsert_network(&network(Forwarding::default())).expect("network");
    assert_eq!((hook().name, hook().is_healthy()), ("from-pod", true));
    let [one, two] = &bench.pods;
    one.reaches(two, two.v4());
    bench.datapath.upsert_network(&network(learning())).expect("network");
    assert_eq!((hook().name, hook().is_healthy()), ("from-pod-learning", true));
    two.reaches(one, one.v6());
}

#[test]
fn a_machine_on_a_nested_link_of_a_pod_is_reached_from_everywhere() {
    let test = "a_machine_on_a_nested_link_of_a_pod_is_reached_from_everywhere";
    let Some(bench) = Bench::new(test, learning()) else { return };
    let [one, two] = &bench.pods;
    let _edge = bench.outside.inside(|| VlanEdge::attach(ifindex("eth0"), VLAN).expect("edge"));
    let nested = one.inside(|| Machine::on_macvlan(5, "eth0", 77));
    for address in [Machine::v4, Machine::v6] {
        for (from, to) in [
            (&nested, two),
            (two, &nested),
            (&nested, &bench.outside),
            (&bench.outside, &nested),
            (&bench.outside, two),
            (one, &bench.outside),
        ] {
            from.reaches(to, address(to));
        }
    }
    assert!(bench.datapath.networks().expect("networks")[0].stations >= Some(3));
    assert!(!bench.rig.pins().is_empty());
}
