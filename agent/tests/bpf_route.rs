//! Routes that the data plane enforces where a packet leaves its pod.

mod bpf_rig;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bpf_rig::{
    MAX_PORTS, Rig, frames, ifindex, ip,
    kernel::{Kernel, TC_DROP, TC_REDIRECT, TCX_NEXT},
    netns_path,
    pod::{Machine, PORT, tap},
};
use nix::sys::socket::{setsockopt, sockopt};
use plexus_abi::{MAX_ROUTE_DEVICES, port_ifindex};
use plexus_agent::datapath::{Datapath, DatapathOptions, PortKind, PortSpec, RouteGate, RouteHop, RouteSpec};

/// What both routers have on their loopbacks: who gets a packet shows which way it went.
const BEHIND: [&str; 5] =
    ["203.0.113.1/32", "203.0.113.77/32", "198.51.100.1/32", "2001:db8:1::1/128", "2001:db8:2::1/128"];
/// The port, of the interface `net1`.
const ID: u32 = 1;
const TABLE: u32 = 7;
const PREFIXES: u32 = 100_000;

/// Tells the datagrams of one round from those of others.
static ROUND: AtomicU32 = AtomicU32::new(0);

/// A machine with a socket, which answers nothing.
struct Router {
    _machine: Machine,
    socket: UdpSocket,
}

/// A pod with `eth0` to one router, its default gateway, and `net1` to another one.
struct Fork {
    pod: Machine,
    near: Router,
    far: Router,
    datapath: Datapath,
    rig: Rig,
}

impl Router {
    fn new(number: u8, pod: &Machine, device: &str, index: &str) -> Self {
        let machine = Machine::new(number);
        let (inside, outside) = (netns_path(&pod.netns), netns_path(&machine.netns));
        ip(&format!(
            "link add name {device} {index} netns {inside} type veth peer name eth0 netns {outside}"
        ));
        let socket = machine.inside(|| {
            ip("link set lo up");
            ip("link set eth0 up");
            for address in [format!("10.{number}.0.254/24"), format!("10.{number}.0.253/24")] {
                ip(&format!("addr add {address} dev eth0"));
            }
            ip(&format!("addr add fd0{number}::fe/64 dev eth0 nodad"));
            for address in BEHIND {
                ip(&format!("addr add {address} dev lo"));
            }
            UdpSocket::bind(("::", PORT)).expect("bind")
        });
        pod.inside(|| {
            ip(&format!("link set {device} up"));
            ip(&format!("addr add 10.{number}.0.1/24 dev {device}"));
            ip(&format!("addr add fd0{number}::1/64 dev {device} nodad"));
        });
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
        // A receiver that waits for the CPU loses nothing.
        setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).expect("a large buffer");
        Self { _machine: machine, socket }
    }

    /// Counts what arrives until `stop`, and then until nothing more comes.
    fn count(&self, stop: &AtomicBool) -> usize {
        let mut count = 0;
        loop {
            let is_last = stop.load(Ordering::Relaxed);
            count += self.heard().len();
            if is_last {
                return count;
            }
        }
    }

    /// The datagrams that have arrived.
    fn heard(&self) -> Vec<String> {
        let mut heard = Vec::new();
        let mut buffer = [0; 100];
        while let Ok((bytes, _)) = self.socket.recv_from(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
        }
        heard
    }
}

impl Fork {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        let pod = Machine::new(1);
        let near = Router::new(1, &pod, "eth0", "");
        let far = Router::new(2, &pod, "net1", &format!("index {}", port_ifindex(ID)));
        pod.inside(|| {
            ip("link set lo up");
            ip("route add default via 10.1.0.254");
            ip("-6 route add default via fd01::fe");
            for neighbour in
                ["10.1.0.254 dev eth0", "10.2.0.254 dev net1", "fd01::fe dev eth0", "fd02::fe dev net1"]
            {
                ip(&format!("neigh replace {neighbour} nud none managed"));
            }
        });
        let datapath = rig.open();
        let fork = Self { pod, near, far, datapath, rig };
        fork.wait_for_neighbours();
        fork.datapath.add_port(&fork.port()).expect("port");
        fork.bind(&fork.datapath);
        for device in ["eth0", "net1"] {
            fork.datapath.add_route_gate(&fork.gate(device)).expect("gate");
        }
        Some(fork)
    }

    /// The first datagrams wait for address resolution, and may be lost.
    fn wait_for_neighbours(&self) {
        let is_reached = |_: &u32| self.ways(&["198.51.100.1", "2001:db8:2::1"]) == ["near", "near"];
        assert!((0..20).any(|round| is_reached(&round)), "the pod does not reach its gateway");
    }

    fn port(&self) -> PortSpec<'_> {
        PortSpec { ips: Vec::new(), mac: [2, 0, 0, 0, 0, 1], ..tap(ID, &self.pod, PortKind::PodTap) }
    }

    fn bind(&self, datapath: &Datapath) {
        let mut devices = [0; MAX_ROUTE_DEVICES];
        devices[0] = port_ifindex(ID);
        devices[1] = self.pod.inside(|| ifindex("eth0"));
        datapath.bind_routes(ID, TABLE, devices).expect("bind");
    }

    fn gate(&self, device: &str) -> RouteGate<'_> {
        RouteGate { port: ID, ifindex: self.pod.inside(|| ifindex(device)), socket: self.pod.control.as_fd() }
    }

    fn set(&self, routes: &[(&str, RouteHop)]) {
        let routes: Vec<RouteSpec> = routes.iter().map(|(dst, hop)| route(dst, *hop)).collect();
        self.datapath.set_routes(TABLE, &routes).expect("routes");
    }

    /// Sends one datagram to each destination and tells who got it: `near`, `far`, or nobody.
    fn ways(&self, destinations: &[&str]) -> Vec<&'static str> {
        // Datagrams of an earlier round may have waited for a neighbour until now.
        let round = ROUND.fetch_add(1, Ordering::Relaxed);
        let text = |destination: &str| format!("{destination} in round {round}");
        self.pod.inside(|| {
            let socket = UdpSocket::bind(("::", 0)).expect("bind");
            for destination in destinations {
                let to = match destination.parse().expect("an address") {
                    IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                    v6 @ IpAddr::V6(_) => v6,
                };
                // A packet that is dropped at egress is an error for its sender.
                socket.send_to(text(destination).as_bytes(), SocketAddr::new(to, PORT)).ok();
            }
        });
        let of_this = |heard: Vec<String>| -> Vec<String> {
            heard.into_iter().filter(|text| text.ends_with(&format!(" in round {round}"))).collect()
        };
        let (near, far) = (of_this(self.near.heard()), of_this(self.far.heard()));
        assert!(near.len() + far.len() <= destinations.len(), "a packet came twice: {near:?} {far:?}");
        let way = |destination: &&str| match (
            near.contains(&text(destination)),
            far.contains(&text(destination)),
        ) {
            (true, _) => "near",
            (_, true) => "far",
            _ => "nobody",
        };
        destinations.iter().map(way).collect()
    }
}

fn route(dst: &str, hop: RouteHop) -> RouteSpec {
    RouteSpec { dst: dst.parse().expect("a prefix"), hop }
}

/// By way of this gateway on this device of the pod.
fn via(gateway: &str, device: u8) -> RouteHop {
    RouteHop::Gateway { gateway: gateway.parse().expect("an address"), device }
}

fn udp_to(destination: IpAddr) -> Vec<u8> {
    let (mac, payload) = ([2, 0, 0, 0, 0, 9], frames::udp(1, 2, b"route"));
    match destination {
        IpAddr::V4(to) => {
            let packet = frames::ipv4(Ipv4Addr::new(10, 1, 0, 1), to, frames::UDP, &payload);
            frames::ethernet(mac, mac, frames::IPV4, &packet)
        }
        IpAddr::V6(to) => {
            let packet = frames::ipv6(Ipv6Addr::LOCALHOST, to, frames::UDP, &payload);
            frames::ethernet(mac, mac, frames::IPV6, &packet)
        }
    }
}

/// The prefix with this number, 16 addresses of 10.0.0.0/8 each.
fn numbered(number: u32, hop: RouteHop) -> RouteSpec {
    let network = Ipv4Addr::from_bits(0x0a00_0000 | number << 4);
    route(&format!("{network}/28"), hop)
}

#[test]
fn the_longest_prefix_says_by_which_interface_and_gateway_a_packet_leaves_its_pod() {
    let test = "the_longest_prefix_says_by_which_interface_and_gateway_a_packet_leaves_its_pod";
    let Some(fork) = Fork::new(test) else { return };
    let all = ["203.0.113.1", "203.0.113.77", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1"];
    assert_eq!(fork.ways(&all), ["near"; 5], "without a table the pod's own routes hold");
    fork.set(&[
        ("203.0.113.0/24", via("10.2.0.254", 0)),
        ("203.0.113.64/26", RouteHop::Pass),
        ("2001:db8:1::/48", via("fd02::fe", 0)),
    ]);
    assert_eq!(fork.ways(&all), ["far", "near", "near", "far", "near"]);
    // The pod's own table was not touched, and a gateway of the interface that a packet leaves by anyway is no loop.
    fork.set(&[("203.0.113.0/24", via("10.1.0.253", 1)), ("198.51.100.0/24", via("fd02::fe", 0))]);
    assert_eq!(fork.ways(&all), ["near", "near", "far", "near", "near"]);
    fork.datapath.remove_routes(TABLE).expect("remove");
    assert_eq!(fork.ways(&all), ["near"; 5]);
}

#[test]
fn a_blackhole_drops_and_counts_and_so_does_an_interface_that_is_not_there() {
    let test = "a_blackhole_drops_and_counts_and_so_does_an_interface_that_is_not_there";
    let Some(fork) = Fork::new(test) else { return };
    fork.set(&[
        ("203.0.113.0/24", RouteHop::Blackhole),
        ("203.0.113.77/32", RouteHop::Pass),
        ("198.51.100.0/24", RouteHop::OnLink { device: 5 }),
        ("2001:db8:1::/48", RouteHop::Blackhole),
    ]);
    let all = ["203.0.113.1", "203.0.113.77", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1"];
    assert_eq!(fork.ways(&all), ["nobody", "near", "nobody", "nobody", "near"]);
    let drops = fork.datapath.counters(ID).expect("counters").drops;
    assert_eq!((drops["route-blackhole"], drops["route-unreachable"]), (2, 1), "{drops:?}");
}

#[test]
fn every_verdict_follows_from_table_and_destination() {
    let Some(fork) = Fork::new("every_verdict_follows_from_table_and_destination") else { return };
    let kernel = Kernel::load(&fork.rig);
    let verdict = |to: &str| kernel.route(ID, &udp_to(to.parse().expect("an address")), 1).0;
    let everything = [("0.0.0.0/0", via("10.2.0.254", 0)), ("::/0", RouteHop::OnLink { device: 0 })];
    fork.set(&everything);
    for (to, expected) in [
        ("8.8.8.8", TC_REDIRECT),
        ("2001:db8::1", TC_REDIRECT),
        // Groups and addresses of one link have no route.
        ("224.0.0.1", TCX_NEXT),
        ("255.255.255.255", TCX_NEXT),
        ("169.254.1.1", TCX_NEXT),
        ("ff02::1", TCX_NEXT),
        ("fe80::1", TCX_NEXT),
    ] {
        assert_eq!(verdict(to), expected, "{to}");
    }
    let mac = [2, 0, 0, 0, 0, 9];
    let arp = frames::ethernet(mac, mac, frames::ARP, &[0; 28]);
    assert_eq!(kernel.route(ID, &arp, 1).0, TCX_NEXT);
    assert_eq!(
        kernel.route(ID + 1, &udp_to(Ipv4Addr::LOCALHOST.into()), 1).0,
        TCX_NEXT,
        "a port without routes"
    );
    fork.set(&[("0.0.0.0/0", RouteHop::Blackhole), ("8.0.0.0/8", RouteHop::Pass)]);
    assert_eq!(
        [verdict("8.8.8.8"), verdict("9.9.9.9"), verdict("2001:db8::1")],
        [TCX_NEXT, TC_DROP, TCX_NEXT]
    );
    fork.datapath.unbind_routes(ID).expect("unbind");
    assert_eq!(verdict("9.9.9.9"), TCX_NEXT);
}

#[test]
fn a_change_is_seen_at_once_and_whole_whatever_was_remembered() {
    let test = "a_change_is_seen_at_once_and_whole_whatever_was_remembered";
    let Some(fork) = Fork::new(test) else { return };
    let kernel = Kernel::load(&fork.rig);
    let targets: Vec<Vec<u8>> = (0..64).map(|number| udp_to(IpAddr::from([10, number, 0, 1]))).collect();
    let verdicts =
        |kernel: &Kernel| -> Vec<i32> { targets.iter().map(|frame| kernel.route(ID, frame, 1).0).collect() };
    for round in 0..20 {
        let (hop, expected) =
            if round % 2 == 0 { (RouteHop::Blackhole, TC_DROP) } else { (RouteHop::Pass, TCX_NEXT) };
        fork.set(&[("10.0.0.0/8", hop)]);
        assert_eq!(verdicts(&kernel), vec![expected; 64], "round {round}");
        if round % 5 == 4 {
            fork.datapath.remove_routes(TABLE).expect("remove");
            assert_eq!(verdicts(&kernel), vec![TCX_NEXT; 64], "without the table");
        }
    }
}

#[test]
fn a_hundred_thousand_prefixes_load_and_change_while_no_packet_is_lost() {
    let test = "a_hundred_thousand_prefixes_load_and_change_while_no_packet_is_lost";
    let Some(fork) = Fork::new(test) else { return };
    fork.set(&[("203.0.113.0/24", via("10.2.0.254", 0))]);
    assert_eq!(fork.ways(&["203.0.113.1"]), ["far"]);
    let table = |hop| -> Vec<RouteSpec> {
        let rest = (0..PREFIXES).map(|number| numbered(number, hop));
        rest.chain([route("203.0.113.0/24", via("10.2.0.254", 0))]).collect()
    };
    let tables = [table(RouteHop::Blackhole), table(via("10.2.0.254", 0)), table(RouteHop::Pass)];
    let stop = AtomicBool::new(false);
    let (sent, heard) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let socket = fork.pod.inside(|| UdpSocket::bind(("0.0.0.0", 0)).expect("bind"));
            let mut sent = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(b"one", ("203.0.113.1", PORT)).expect("send");
                sent += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        let receiver = scope.spawn(|| fork.far.count(&stop));
        for table in &tables {
            let begun = Instant::now();
            fork.datapath.set_routes(TABLE, table).expect("a large table");
            println!("{} prefixes in {:?}", table.len(), begun.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("sender");
        (sent, receiver.join().expect("receiver"))
    });
    assert!(sent > 100 && heard == sent as usize, "{heard} of {sent} came");
}

#[test]
fn a_restart_and_another_generation_keep_the_routes_and_lose_no_packet() {
    let test = "a_restart_and_another_generation_keep_the_routes_and_lose_no_packet";
    let Some(fork) = Fork::new(test) else { return };
    let routes =
        [route("203.0.113.0/24", via("10.2.0.254", 0)), route("198.51.100.0/24", RouteHop::Blackhole)];
    fork.datapath.set_routes(TABLE, &routes).expect("routes");
    assert_eq!(fork.ways(&["203.0.113.1", "198.51.100.1"]), ["far", "nobody"]);
    let stop = AtomicBool::new(false);
    let open = |max_ports| {
        let options = DatapathOptions { bpffs: fork.rig.bpffs(), max_ports, ..DatapathOptions::default() };
        Datapath::open(&options).expect("open")
    };
    let (sent, heard) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let socket = fork.pod.inside(|| UdpSocket::bind(("0.0.0.0", 0)).expect("bind"));
            let mut sent = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(b"one", ("203.0.113.1", PORT)).expect("send");
                sent += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        let receiver = scope.spawn(|| fork.far.count(&stop));
        for max_ports in [MAX_PORTS, 2 * MAX_PORTS, 2 * MAX_PORTS, MAX_PORTS] {
            let datapath = open(max_ports);
            let spec = PortSpec { socket: None, ..fork.port() };
            datapath.restore_port(&spec).expect("restore");
            datapath.set_routes(TABLE, &routes).expect("routes");
            fork.bind(&datapath);
            datapath.keep_routes(&[TABLE]).expect("keep");
            datapath.finish_migration().expect("finish");
            assert!(datapath.has_route_gate(&fork.gate("eth0")).expect("gate"));
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("sender");
        (sent, receiver.join().expect("receiver"))
    });
    assert!(sent > 100 && heard == sent as usize, "{heard} of {sent} came");
    let last = open(MAX_PORTS);
    last.keep_routes(&[]).expect("drop what nobody knows");
    assert_eq!(fork.ways(&["203.0.113.1", "198.51.100.1"]), ["near", "near"]);
}

#[test]
fn a_gate_that_is_taken_away_looks_nothing_up_and_a_port_that_goes_leaves_no_routes() {
    let test = "a_gate_that_is_taken_away_looks_nothing_up_and_a_port_that_goes_leaves_no_routes";
    let Some(fork) = Fork::new(test) else { return };
    fork.set(&[("203.0.113.0/24", via("10.2.0.254", 0))]);
    assert_eq!(fork.ways(&["203.0.113.1"]), ["far"]);
    let gate = fork.gate("eth0");
    for _ in 0..2 {
        fork.datapath.remove_route_gate(&gate).expect("remove");
    }
    assert!(!fork.datapath.has_route_gate(&gate).expect("look"));
    assert_eq!(fork.ways(&["203.0.113.1"]), ["near"]);
    fork.datapath.add_route_gate(&gate).expect("gate");
    assert_eq!(fork.ways(&["203.0.113.1"]), ["far"]);
    let counted = fork.datapath.counters(ID).expect("counters");
    assert!(counted.tx_packets > 0, "a packet counts where it leaves: {counted:?}");
    fork.datapath.remove_port(ID).expect("remove");
    assert_eq!(fork.datapath.bound_routes(ID).expect("look"), None);
    assert_eq!(fork.ways(&["203.0.113.1"]), ["near"]);
}

#[test]
fn a_packet_takes_hardly_longer_with_a_hundred_thousand_prefixes_than_with_ten() {
    let test = "a_packet_takes_hardly_longer_with_a_hundred_thousand_prefixes_than_with_ten";
    let Some(fork) = Fork::new(test) else { return };
    let kernel = Kernel::load(&fork.rig);
    let frame = udp_to(IpAddr::from([10, 0, 0, 1]));
    let mut seen = Vec::new();
    for count in [10, PREFIXES] {
        let routes: Vec<_> = (0..count).map(|number| numbered(number, RouteHop::Blackhole)).collect();
        fork.datapath.set_routes(TABLE, &routes).expect("routes");
        let (verdict, time) = kernel.route(ID, &frame, 100_000);
        assert_eq!(verdict, TC_DROP);
        seen.push(time);
    }
    println!("10 prefixes {:?}, {PREFIXES} prefixes {:?}", seen[0], seen[1]);
    assert!(seen[1] < 5 * seen[0].max(Duration::from_nanos(20)), "{seen:?}");
}
