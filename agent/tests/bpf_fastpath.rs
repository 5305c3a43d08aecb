//! Pods, a host and a machine outside: traffic in network namespaces.

mod bpf_rig;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
};

use bpf_rig::{
    Rig, ifindex, ip, netns_path,
    pod::{Machine, PORT, fastpath},
    world::{NETWORK, VLAN, World},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{
    Forwarding, Guard, HookState, NetworkSpec, PortSpec, XdpChoice, device::enable_gro, edge::VlanEdge,
};

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

#[test]
fn jumbo_frames_arrive_whole_everywhere_and_the_uplink_says_that_xdp_takes_them() {
    let test = "jumbo_frames_arrive_whole_everywhere_and_the_uplink_says_that_xdp_takes_them";
    let Some(world) = World::new(test) else { return };
    let [one, two] = &world.pods;
    for device in ["uplink", "pod1", "pod2"] {
        ip(&format!("link set {device} mtu 9000"));
    }
    for machine in [one, two, &world.outside] {
        machine.inside(|| ip("link set eth0 mtu 9000"));
    }
    let datapath = world.rig.open();
    world.populate(&datapath);
    let hook = datapath.networks().expect("networks")[0].hooks[0].clone();
    assert_eq!((hook.name, hook.mode), ("xdp", "native-frags"), "{hook:?}");
    for (from, to) in [(&world.outside, two), (one, two), (one, &world.outside)] {
        for address in [Machine::v4, Machine::v6] {
            from.reaches(to, address(to));
            // Linux sets don't-fragment on what fits the MTU.
            let before = datapath.counters(2).expect("counters");
            from.send(address(to), &"j".repeat(8900));
            let mut buffer = vec![0; 9000];
            let (bytes, _) = to.socket().recv_from(&mut buffer).expect("a jumbo frame");
            assert_eq!(bytes, 8900);
            let after = datapath.counters(2).expect("counters");
            if std::ptr::eq(to, two) {
                assert!(after.rx_bytes > before.rx_bytes + 8900, "{after:?}");
                // One frame, and perhaps a neighbour that asks.
                assert!(after.rx_packets <= before.rx_packets + 2, "{after:?}");
            }
        }
        assert_eq!(stream(from, to, 4 << 20), 4 << 20);
    }
    for id in [1, 2] {
        let counters = datapath.counters(id).expect("counters");
        assert!(counters.drops.values().all(|drops| *drops == 0), "{counters:?}");
    }
}

/// A machine in 10.8.0.0/24 behind an uplink of its own.
fn far_machine() -> Machine {
    let mut machine = Machine::new(8);
    ip(&format!("link add name far type veth peer name eth0 netns {}", netns_path(&machine.netns)));
    ip("link set far up");
    machine.inside(|| {
        ip("link set eth0 up");
        ip("addr add 10.8.0.8/24 dev eth0");
        ip("route add default via 10.8.0.1");
    });
    machine.addresses = vec!["10.8.0.8".parse().expect("address")];
    machine
}

#[test]
fn a_pod_that_routes_carries_tcp_from_one_uplink_to_another() {
    let Some(rig) = Rig::new("a_pod_that_routes_carries_tcp_from_one_uplink_to_another") else { return };
    let (near, far) = (Machine::behind(9, "near", 0), far_machine());
    let _edges = [&near, &far]
        .map(|machine| machine.inside(|| VlanEdge::attach(ifindex("eth0"), VLAN).expect("edge")));
    let router = Machine::behind(1, "pod1", port_ifindex(1));
    let (second, netns) = (port_ifindex(2), netns_path(&router.netns));
    ip(&format!(
        "link add name pod2 index {second} type veth peer name eth1 address 02:00:00:00:00:02 netns {netns}"
    ));
    ip("link set pod2 up");
    router.inside(|| {
        ip("link set eth1 up");
        enable_gro(ifindex("eth1")).expect("GRO");
        ip("addr add 10.8.0.1/24 dev eth1");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("sysctl");
    });
    near.inside(|| ip("route add default via 10.9.0.1"));
    let datapath = rig.open();
    for (id, uplink, mac) in [(1, "near", router.mac), (2, "far", [2, 0, 0, 0, 0, 2])] {
        let uplink_ifindex = Some(ifindex(uplink));
        datapath
            .upsert_network(&NetworkSpec {
                id,
                uplink_ifindex,
                vlan: VLAN,
                xdp: XdpChoice::Always,
                ..NetworkSpec::default()
            })
            .expect("network");
        // What it forwards bears others' addresses.
        let guard = Guard { mac: true, ip: false };
        datapath.add_port(&PortSpec { mac, guard, ..fastpath(id, &router, id, VLAN) }).expect("port");
    }
    for (from, to) in [(&near, &far), (&far, &near)] {
        assert_eq!(stream(from, to, 2 << 20), 2 << 20);
    }
    for id in [1, 2] {
        let counters = datapath.counters(id).expect("counters");
        assert!(counters.rx_bytes > 2 << 20 && counters.tx_bytes > 2 << 20, "{counters:?}");
        assert!(counters.drops.values().all(|drops| *drops == 0), "{counters:?}");
    }
}

#[test]
fn a_vlan_inside_a_service_vlan_carries_everything() {
    let Some(rig) = Rig::new("a_vlan_inside_a_service_vlan_carries_everything") else { return };
    let outside = Machine::behind(9, "uplink", 0);
    let _edge = outside.inside(|| VlanEdge::attach_stacked(ifindex("eth0"), 7, VLAN).expect("edge"));
    let pod = Machine::behind(1, "pod1", port_ifindex(1));
    let datapath = rig.open();
    let forwarding = Forwarding { outer_vlan: 7, ..Forwarding::default() };
    datapath.upsert_network(&NetworkSpec { forwarding, ..bpf_rig::world::network() }).expect("network");
    datapath.add_port(&fastpath(1, &pod, NETWORK, VLAN)).expect("port");
    for address in [Machine::v4, Machine::v6] {
        pod.reaches(&outside, address(&outside));
        outside.reaches(&pod, address(&pod));
    }
    assert_eq!(stream(&outside, &pod, 2 << 20), 2 << 20);
    assert_eq!(stream(&pod, &outside, 2 << 20), 2 << 20);
    let counters = datapath.counters(1).expect("counters");
    assert!(counters.drops.values().all(|drops| *drops == 0), "{counters:?}");
}
