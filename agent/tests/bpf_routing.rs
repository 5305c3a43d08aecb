//! Networks that route: packets by address, one hop less each, and what is left to the kernel's stack.

mod bpf_rig;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use bpf_rig::{
    Rig,
    frames::{self, ARP, BROADCAST, IPV4, IPV6, UDP},
    ifindex, ip,
    kernel::{Kernel, TC_DROP, TC_REDIRECT, TCX_NEXT},
    pod::{Machine, PORT, fastpath},
};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4Ttl, Ipv6Ttl};
use plexus_abi::{GATEWAY_MAC, port_ifindex};
use plexus_agent::datapath::{Datapath, Forwarding, Mode, NetworkSpec, PolicerSpec, PortSpec};

const NETWORK: u32 = 7;
const ONE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 9);
const GATEWAY: &str = "0a:70:6c:78:00:01";

/// Two pods behind the node as their router, and a machine on the uplink.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    pods: [Machine; 2],
    outside: Machine,
    _rig: Rig,
}

fn network() -> NetworkSpec {
    let forwarding = Forwarding { mode: Mode::L3, ..Forwarding::default() };
    NetworkSpec { id: NETWORK, uplink_ifindex: Some(ifindex("uplink")), forwarding, ..NetworkSpec::default() }
}

/// A pod as the plugin makes it: single addresses, a router that needs no resolution, and a way back on the host.
fn pod(number: u8) -> Machine {
    let device = format!("pod{number}");
    let pod = Machine::behind(number, &device, port_ifindex(number.into()));
    ip(&format!("link set {device} address {GATEWAY}"));
    let v4 = format!("10.9.0.{number}");
    ip(&format!("neigh add {v4} lladdr 02:00:00:00:00:0{number} dev {device} nud permanent"));
    ip(&format!("route add {v4}/32 dev {device} scope link"));
    let v6 = format!("fd09::{number}");
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "0").expect("sysctl");
    ip(&format!("neigh add {v6} lladdr 02:00:00:00:00:0{number} dev {device} nud permanent"));
    ip(&format!("route add {v6}/128 dev {device}"));
    pod.inside(|| {
        ip(&format!("addr del {v4}/24 dev eth0"));
        ip(&format!("addr del fd09::{number}/64 dev eth0"));
        ip(&format!("addr add {v4}/32 dev eth0"));
        ip(&format!("addr add fd09::{number}/128 dev eth0 nodad"));
        ip(&format!("neigh add 169.254.1.1 lladdr {GATEWAY} dev eth0 nud permanent"));
        ip("route add 169.254.1.1/32 dev eth0 scope link");
        ip("route add default via 169.254.1.1");
        ip(&format!("neigh add fe80::1 lladdr {GATEWAY} dev eth0 nud permanent"));
        ip("-6 route add default via fe80::1 dev eth0");
    });
    pod
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let rig = Rig::new(test)?;
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "1").expect("sysctl");
        }
        // What its ICMPv6 errors come from.
        ip("addr add fd07::1/128 dev lo");
        let mut outside = Machine::behind(9, "uplink", 0);
        ip("addr add 10.7.0.1/24 dev uplink");
        outside.inside(|| {
            ip("addr del 10.9.0.9/24 dev eth0");
            ip("addr add 10.7.0.9/24 dev eth0");
            ip("route add 10.9.0.0/24 via 10.7.0.1");
        });
        outside.addresses = vec![OUTSIDE.into()];
        let pods = [pod(1), pod(2)];
        let datapath = rig.open();
        datapath.upsert_network(&network()).expect("network");
        for (id, pod) in (1..).zip(&pods) {
            datapath.add_port(&fastpath(id, pod, NETWORK, 0)).expect("port");
        }
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, pods, outside, _rig: rig })
    }

    fn one_sends(&self, frame: &[u8]) -> (i32, Vec<u8>) {
        self.kernel.tc("port_routing", port_ifindex(1), frame)
    }

    fn drops(&self, port: u32, reason: &str) -> u64 {
        self.datapath.counters(port).expect("counters").drops[reason]
    }
}

/// Sums the header of an IPv4 packet as its checksum demands; 0 if it is right.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet[..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("two carries at most")
}

/// A packet of pod 1 with a right checksum.
fn v4(to: Ipv4Addr, ttl: u8) -> Vec<u8> {
    let mut packet = frames::ipv4(ONE, to, UDP, &frames::udp(5, 6, &[7; 50]));
    packet[8] = ttl;
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet
}

fn v6(to: u16, hops: u8) -> Vec<u8> {
    let address = |number| Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, number);
    let mut packet = frames::ipv6(address(1), address(to), UDP, &frames::udp(5, 6, &[7; 50]));
    packet[7] = hops;
    packet
}

fn to_gateway(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    frames::ethernet(GATEWAY_MAC, [2, 0, 0, 0, 0, 1], ethertype, packet)
}

#[test]
fn a_packet_for_another_pod_goes_there_with_one_hop_less() {
    let Some(bench) = Bench::new("a_packet_for_another_pod_goes_there_with_one_hop_less") else { return };
    let (action, out) = bench.one_sends(&to_gateway(IPV4, &v4(TWO, 64)));
    assert_eq!(action, TC_REDIRECT);
    assert_eq!(checksum(&out[14..]), 0);
    assert_eq!(out, frames::ethernet(bench.pods[1].mac, GATEWAY_MAC, IPV4, &v4(TWO, 63)));
    let (action, out) = bench.one_sends(&to_gateway(IPV6, &v6(2, 64)));
    assert_eq!(action, TC_REDIRECT);
    assert_eq!(out, frames::ethernet(bench.pods[1].mac, GATEWAY_MAC, IPV6, &v6(2, 63)));
    assert!(bench.datapath.counters(2).expect("counters").rx_packets >= 2);
}

#[test]
fn what_needs_an_answer_of_a_router_is_left_to_the_stack_as_it_is() {
    let Some(bench) = Bench::new("what_needs_an_answer_of_a_router_is_left_to_the_stack_as_it_is") else {
        return;
    };
    let mut options = v4(TWO, 64);
    options[0] = 0x46;
    for (name, frame) in [
        ("last hop", to_gateway(IPV4, &v4(TWO, 1))),
        ("last hop, IPv6", to_gateway(IPV6, &v6(2, 1))),
        ("options", to_gateway(IPV4, &options)),
        ("no route", to_gateway(IPV4, &v4(Ipv4Addr::new(192, 0, 2, 1), 64))),
        ("the host itself", to_gateway(IPV4, &v4(Ipv4Addr::new(10, 7, 0, 1), 64))),
    ] {
        assert_eq!(bench.one_sends(&frame), (TCX_NEXT, frame), "{name}");
    }
}

#[test]
fn what_is_no_packet_for_one_station_is_dropped_and_counted() {
    let Some(bench) = Bench::new("what_is_no_packet_for_one_station_is_dropped_and_counted") else { return };
    let mac = bench.pods[0].mac;
    for frame in [
        frames::ethernet(BROADCAST, mac, IPV4, &v4(Ipv4Addr::BROADCAST, 64)),
        frames::ethernet(BROADCAST, mac, ARP, &frames::arp(1, mac, ONE, TWO)),
        frames::ethernet(GATEWAY_MAC, mac, 0x88b5, &[7; 50]),
    ] {
        let before = bench.drops(1, "not-routed");
        assert_eq!(bench.one_sends(&frame).0, TC_DROP);
        assert!(bench.drops(1, "not-routed") > before);
    }
    // Its own address.
    assert_eq!(bench.one_sends(&to_gateway(IPV4, &v4(ONE, 64))).0, TC_DROP);
    assert_eq!(bench.drops(1, "unknown-destination"), 1);
    // And the other pod's limit counts.
    bench
        .datapath
        .set_policers(2, Some(PolicerSpec { rate_bps: 1_000, burst_bits: 8 }), None)
        .expect("policer");
    let frame = to_gateway(IPV4, &v4(TWO, 64));
    let actions = [bench.one_sends(&frame).0, bench.one_sends(&frame).0];
    assert_eq!(actions[1], TC_DROP, "{actions:?}");
    assert!(bench.drops(2, "policed-to-pod") >= 1);
}

#[test]
fn the_uplink_gives_a_pods_packets_to_it_and_the_rest_to_the_host() {
    let Some(bench) = Bench::new("the_uplink_gives_a_pods_packets_to_it_and_the_rest_to_the_host") else {
        return;
    };
    let printed = std::process::Command::new("ip").args(["-o", "link", "show", "dev", "uplink"]).output();
    let printed = String::from_utf8(printed.expect("ip").stdout).expect("text");
    let mac = printed.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a MAC");
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
    let host: [u8; 6] = bytes.try_into().expect("six bytes");
    let uplink = ifindex("uplink");
    let outside = bench.outside.mac;
    let frame = frames::ethernet(host, outside, IPV4, &v4(TWO, 64));
    let expected = frames::ethernet(bench.pods[1].mac, GATEWAY_MAC, IPV4, &v4(TWO, 63));
    assert_eq!(bench.kernel.tc("uplink_tc", uplink, &frame), (TC_REDIRECT, expected));
    for frame in [
        frames::ethernet([2, 0, 0, 0, 0, 77], outside, IPV4, &v4(TWO, 64)),
        frames::ethernet(host, outside, IPV4, &v4(TWO, 1)),
        frames::ethernet(host, outside, IPV4, &v4(Ipv4Addr::new(10, 7, 0, 1), 64)),
        frames::ethernet(BROADCAST, outside, ARP, &frames::arp(1, outside, OUTSIDE, TWO)),
    ] {
        assert_eq!(bench.kernel.tc("uplink_tc", uplink, &frame), (TCX_NEXT, frame));
    }
}

#[test]
fn an_address_belongs_to_one_port_and_goes_with_it() {
    let Some(bench) = Bench::new("an_address_belongs_to_one_port_and_goes_with_it") else { return };
    let other = Machine::behind(3, "pod3", port_ifindex(3));
    let thief = PortSpec { ips: vec![TWO.into()], ..fastpath(3, &other, NETWORK, 0) };
    let error = bench.datapath.add_port(&thief).expect_err("refused").to_string();
    assert!(error.contains("10.9.0.2") && error.contains("port 2"), "{error}");
    let state = bench.datapath.port_state(2).expect("state");
    assert!(state.is_healthy(), "{state:?}");
    let hooks: Vec<_> = state.hooks.iter().map(|hook| hook.name).collect();
    assert_eq!(hooks, ["from-pod-l3", "host-tap-rx"]);
    assert_eq!(bench.datapath.networks().expect("networks")[0].mode, "l3");
    bench.datapath.remove_port(2).expect("remove");
    ip("link del pod2");
    let frame = to_gateway(IPV4, &v4(TWO, 64));
    assert_eq!(bench.one_sends(&frame), (TCX_NEXT, frame));
    bench.datapath.add_port(&thief).expect("the address is free");
}

#[test]
fn pods_and_the_outside_reach_each_other_with_whole_streams() {
    let Some(bench) = Bench::new("pods_and_the_outside_reach_each_other_with_whole_streams") else { return };
    let ([one, two], outside) = (&bench.pods, &bench.outside);
    one.reaches(two, two.v6());
    two.reaches(one, one.v6());
    for (from, to) in [(one, two), (one, outside), (outside, two)] {
        from.reaches(to, to.v4());
        assert_eq!(stream(from, to), 2 << 20);
    }
    // The neighbour is known by now, so the kernel's table alone decides.
    let (action, out) = bench.one_sends(&to_gateway(IPV4, &v4(OUTSIDE, 64)));
    assert_eq!((action, &out[..6], &out[14..]), (TC_REDIRECT, &outside.mac[..], &v4(OUTSIDE, 63)[..]));
    for id in [1, 2] {
        let counters = bench.datapath.counters(id).expect("counters");
        let bytes = [counters.rx_bytes, counters.tx_bytes];
        assert!(bytes.iter().max() > Some(&(2 << 20)), "{counters:?}");
        let mut others = counters.drops.iter().filter(|(reason, _)| **reason != "not-routed");
        assert!(others.all(|(_, drops)| *drops == 0), "{counters:?}");
    }
}

/// Sends 2 MiB by TCP and returns how many bytes arrived.
fn stream(from: &Machine, to: &Machine) -> usize {
    let listener = to.inside(|| TcpListener::bind(("::", PORT)).expect("listen"));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            stream.read_to_end(&mut Vec::new()).expect("read")
        });
        let mut sender = from.inside(|| TcpStream::connect((to.v4(), PORT)).expect("connect"));
        sender.write_all(&vec![0x5a; 2 << 20]).expect("write");
        drop(sender);
        receiver.join().expect("receiver")
    })
}

#[test]
fn the_stack_tells_a_pod_that_a_hop_is_missing_or_a_packet_too_big() {
    let Some(bench) = Bench::new("the_stack_tells_a_pod_that_a_hop_is_missing_or_a_packet_too_big") else {
        return;
    };
    let [one, two] = &bench.pods;
    let send = |bytes: usize, hops: i32, to: IpAddr| {
        let from: IpAddr = if to.is_ipv4() { one.v4() } else { one.v6() };
        let socket = one.inside(|| UdpSocket::bind((from, 0)).expect("bind"));
        match from {
            IpAddr::V4(_) => setsockopt(&socket, Ipv4Ttl, &hops),
            IpAddr::V6(_) => setsockopt(&socket, Ipv6Ttl, &hops),
        }
        .expect("hops");
        socket.send_to(&vec![7; bytes], (to, PORT)).expect("send");
    };
    let families =
        [(two.v4(), "InTimeExcds", "InDestUnreachs"), (two.v6(), "Icmp6InTimeExcds", "Icmp6InPktTooBigs")];
    for (to, exceeded, _) in families {
        send(10, 1, to);
        eventually(exceeded, || heard(one, exceeded) == 1);
    }
    ip("link set pod2 mtu 1400");
    for (to, _, too_big) in families {
        send(1450, 64, to);
        eventually(too_big, || heard(one, too_big) == 1);
    }
}

/// A counter of `Icmp` in /proc/net/snmp, or of `Icmp6` in /proc/net/snmp6.
fn heard(machine: &Machine, counter: &str) -> u64 {
    let read = |table: &str| {
        machine
            .inside(|| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).expect("statistics"))
    };
    let value = if counter.starts_with("Icmp6") {
        read("snmp6").lines().find_map(|line| Some(line.strip_prefix(counter)?.trim().to_owned()))
    } else {
        let table = read("snmp");
        let mut lines = table.lines().filter(|line| line.starts_with("Icmp: ")).map(str::split_whitespace);
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        names.zip(values).find(|(name, _)| *name == counter).map(|(_, value)| value.to_owned())
    };
    value.and_then(|value| value.parse().ok()).expect("counter")
}

/// Tries until it is so.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
