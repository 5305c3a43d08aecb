//! Pods, a host and a machine outside: traffic in network namespaces.

mod bpf_rig;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
};

use bpf_rig::{
    ip,
    pod::{Machine, PORT},
    world::{NETWORK, World},
};

use plexus_agent::datapath::{HookState, NetworkSpec};

#[test]
fn everybody_reaches_everybody_over_a_vlan_uplink() {
    let Some(world) = World::new("everybody_reaches_everybody_over_a_vlan_uplink") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let [one, two] = &world.pods;
    for address in [Machine::v4, Machine::v6] {
        for (from, to) in
            [(one, two), (two, one), (one, &world.outside), (&world.outside, one), (&world.outside, two)]
        {
            from.reaches(to, address(to));
        }
    }
    for id in [1, 2] {
        let state = datapath.port_state(id).expect("state");
        assert!(state.is_healthy() && state.notes.is_empty(), "{state:?}");
        let counters = datapath.counters(id).expect("counters");
        assert!(counters.drops.values().all(|drops| *drops == 0), "{counters:?}");
    }
    let networks = datapath.networks().expect("networks");
    assert_eq!((networks[0].id, networks[0].ports.as_slice()), (NETWORK, [1, 2].as_slice()));
    assert!(networks[0].hooks.iter().all(HookState::is_healthy), "{networks:?}");
}

#[test]
fn a_tcp_stream_survives_segmentation_offload_between_pods_and_to_the_outside() {
    let test = "a_tcp_stream_survives_segmentation_offload_between_pods_and_to_the_outside";
    let Some(world) = World::new(test) else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let [one, two] = &world.pods;
    for (from, to) in [(one, two), (one, &world.outside), (&world.outside, two)] {
        assert_eq!(stream(from, to, 4 << 20), 4 << 20);
    }
    // Twice from pod one, twice to pod two.
    assert!(datapath.counters(1).expect("counters").tx_bytes > 8 << 20);
    assert!(datapath.counters(2).expect("counters").rx_bytes > 8 << 20);
}

/// Sends `bytes` by TCP and returns how many arrived.
fn stream(from: &Machine, to: &Machine, bytes: usize) -> usize {
    let listener = to.inside(|| TcpListener::bind(("::", PORT)).expect("listen"));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("read")
        });
        let mut sender = from.inside(|| TcpStream::connect((to.v4(), PORT)).expect("connect"));
        sender.write_all(&vec![0x5a; bytes]).expect("write");
        drop(sender);
        receiver.join().expect("receiver")
    })
}

#[test]
fn a_pod_with_a_foreign_address_is_not_heard() {
    let Some(world) = World::new("a_pod_with_a_foreign_address_is_not_heard") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let [one, two] = &world.pods;
    // Known to each other, so that the foreign address needs no ARP of its own.
    one.reaches(two, two.v4());
    let foreign: IpAddr = "10.9.0.77".parse().expect("address");
    let socket = one.inside(|| {
        ip("addr add 10.9.0.77/24 dev eth0");
        UdpSocket::bind((foreign, 0)).expect("bind")
    });
    socket.send_to(b"spoofed", (two.v4(), PORT)).expect("send");
    one.reaches(two, two.v4());
    let counters = datapath.counters(1).expect("counters");
    assert_eq!(counters.drops["spoofed-ip"], 1, "{counters:?}");
}

#[test]
fn a_network_without_uplink_ends_at_the_node() {
    let Some(world) = World::new("a_network_without_uplink_ends_at_the_node") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let alone = NetworkSpec { uplink_ifindex: None, ..bpf_rig::world::network() };
    datapath.upsert_network(&alone).expect("network");
    let [one, two] = &world.pods;
    one.reaches(two, two.v4());
    let links = world.rig.pins().into_iter().filter(|pin| pin.contains("/links/uplink")).count();
    assert_eq!(links, 0, "the uplink is released");
    let heard_before = world.outside.heard();
    one.send(world.outside.v4(), "nobody hears this");
    two.reaches(one, one.v4());
    assert_eq!(world.outside.heard(), heard_before);
}
