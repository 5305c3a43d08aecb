//! What a pod may send: every case of anti-spoofing, frame in and verdict out.

mod bpf_rig;

use std::net::{Ipv4Addr, Ipv6Addr};

use bpf_rig::{
    Rig,
    frames::{self, ARP, BROADCAST, ICMPV6, IPV4, IPV6, UDP},
    ip,
    kernel::{Kernel, TC_DROP, TC_REDIRECT},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, Guard, NetworkSpec, PortCounters, PortKind, PortSpec, XdpChoice};

const MINE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MY_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const MY_IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER_IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const MY_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Two ports of a network without uplink; frames run through port 1's program.
struct Bench {
    datapath: Datapath,
    kernel: Kernel,
    _rig: Rig,
}

impl Bench {
    fn new(test: &str, guard: Guard) -> Option<Self> {
        let rig = Rig::new(test)?;
        let datapath = rig.open();
        let network = NetworkSpec {
            id: 1,
            uplink_ifindex: None,
            vlan: 0,
            xdp: XdpChoice::Auto,
            ..NetworkSpec::default()
        };
        datapath.upsert_network(&network).expect("network");
        for (id, mac) in [(1, MINE), (2, PEER)] {
            ip(&format!("link add name pod{id} index {} type veth peer name end{id}", port_ifindex(id)));
            ip(&format!("link set pod{id} up"));
            let port = PortSpec {
                id,
                kind: PortKind::Fastpath { network: 1, vlan: 0 },
                ifindex: port_ifindex(id),
                mac,
                ips: vec![MY_IP.into(), MY_IP6.into()],
                guard,
                ingress: None,
                egress: None,
                socket: None,
            };
            datapath.add_port(&port).expect("port");
        }
        let kernel = Kernel::load(&rig);
        Some(Self { datapath, kernel, _rig: rig })
    }

    fn counters(&self) -> PortCounters {
        self.datapath.counters(1).expect("counters")
    }

    /// Runs a frame, and says `accepted` or the one reason that was counted, which is the same over veth and netkit.
    fn judge(&self, frame: &[u8]) -> &'static str {
        let [veth, netkit] = ["port_tc", "netkit_tx"].map(|program| self.fate(program, frame));
        assert_eq!(veth, netkit);
        veth
    }

    fn fate(&self, program: &str, frame: &[u8]) -> &'static str {
        let before = self.counters();
        let (action, _) = self.kernel.tc(program, port_ifindex(1), frame);
        let after = self.counters();
        let mut seen = Vec::new();
        if after.tx_packets > before.tx_packets {
            seen.push("accepted");
        }
        seen.extend(
            after
                .drops
                .iter()
                .filter(|(reason, drops)| **drops > before.drops[*reason])
                .map(|(name, _)| *name),
        );
        assert_eq!(seen.len(), 1, "one frame, one fate: {seen:?}");
        // A group frame ends in the program after its copies; a unicast frame is redirected.
        let is_forwarded = seen == ["accepted"] && frame[0] & 1 == 0;
        assert_eq!(action, if is_forwarded { TC_REDIRECT } else { TC_DROP }, "{seen:?}");
        seen[0]
    }
}

/// A frame from the pod's own MAC to the peer.
fn mine(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    frames::ethernet(PEER, MINE, ethertype, payload)
}

/// A frame from the pod's own MAC to everybody.
fn shout(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    frames::ethernet(if ethertype == IPV6 { ALL_NODES_MAC } else { BROADCAST }, MINE, ethertype, payload)
}

fn datagram(from: Ipv4Addr) -> Vec<u8> {
    frames::ipv4(from, PEER_IP, UDP, &frames::udp(1000, 2000, b"x"))
}

fn icmp(from: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    frames::ipv6(from, ALL_NODES, ICMPV6, message)
}

fn check(bench: &Bench, cases: &[(&str, Vec<u8>, &str)]) {
    for (name, frame, expected) in cases {
        assert_eq!(bench.judge(frame), *expected, "{name}");
    }
}

const FULL: Guard = Guard { mac: true, ip: true };

#[test]
fn ethernet_is_checked_first() {
    let Some(bench) = Bench::new("ethernet_is_checked_first", FULL) else { return };
    let plain = mine(IPV4, &datagram(MY_IP));
    let reserved = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    check(
        &bench,
        &[
            ("own frame", plain.clone(), "accepted"),
            ("foreign MAC", frames::ethernet(PEER, PEER, IPV4, &datagram(MY_IP)), "spoofed-mac"),
            ("group source", frames::ethernet(PEER, BROADCAST, IPV4, &datagram(MY_IP)), "malformed"),
            ("VLAN tag", frames::tagged(&plain, 0x8100, 5), "tagged"),
            ("priority tag", frames::tagged(&plain, 0x8100, 0), "tagged"),
            ("service tag", frames::tagged(&plain, 0x88a8, 5), "tagged"),
            ("old service tag", frames::tagged(&plain, 0x9100, 5), "tagged"),
            ("LLDP", frames::ethernet(reserved, MINE, 0x88cc, &[0; 46]), "reserved-destination"),
        ],
    );
    // Accepted from the pod, then nobody has the MAC: both are counted.
    let before = bench.counters();
    let (action, _) =
        bench.kernel.tc("port_tc", port_ifindex(1), &frames::ethernet([2; 6], MINE, IPV4, &datagram(MY_IP)));
    let after = bench.counters();
    assert_eq!(action, TC_DROP);
    assert_eq!(after.tx_packets, before.tx_packets + 1);
    assert_eq!(after.drops["unknown-destination"], before.drops["unknown-destination"] + 1);
}

#[test]
fn ipv4_sources_are_the_ports_own() {
    let Some(bench) = Bench::new("ipv4_sources_are_the_ports_own", FULL) else { return };
    let dhcp = frames::udp(68, 67, &[1; 240]);
    let mut later = frames::ipv4(NOBODY, Ipv4Addr::BROADCAST, UDP, &dhcp);
    later[7] = 1;
    let mut options = frames::ipv4(PEER_IP, MY_IP, UDP, &[0; 40]);
    options[0] = 0x4f;
    let mut short_header = datagram(MY_IP);
    short_header[0] = 0x44;
    check(
        &bench,
        &[
            ("own address", mine(IPV4, &datagram(MY_IP)), "accepted"),
            ("foreign address", mine(IPV4, &datagram(PEER_IP)), "spoofed-ip"),
            ("nobody", mine(IPV4, &datagram(NOBODY)), "spoofed-ip"),
            ("DHCP request", shout(IPV4, &frames::ipv4(NOBODY, Ipv4Addr::BROADCAST, UDP, &dhcp)), "accepted"),
            (
                "DHCP server",
                shout(IPV4, &frames::ipv4(NOBODY, Ipv4Addr::BROADCAST, UDP, &frames::udp(67, 68, b""))),
                "spoofed-ip",
            ),
            ("DHCP in a later fragment", shout(IPV4, &later), "spoofed-ip"),
            (
                "DHCP ports over TCP",
                shout(IPV4, &frames::ipv4(NOBODY, Ipv4Addr::BROADCAST, 6, &dhcp)),
                "spoofed-ip",
            ),
            ("foreign address behind options", mine(IPV4, &options), "spoofed-ip"),
            ("header length below five words", mine(IPV4, &short_header), "malformed"),
            ("no IPv4 at all", mine(IPV4, &[0x65; 40]), "malformed"),
        ],
    );
}

#[test]
fn arp_speaks_for_the_port_only() {
    let Some(bench) = Bench::new("arp_speaks_for_the_port_only", FULL) else { return };
    let mut other_hardware = frames::arp(1, MINE, MY_IP, PEER_IP);
    other_hardware[1] = 6;
    check(
        &bench,
        &[
            ("request", shout(ARP, &frames::arp(1, MINE, MY_IP, PEER_IP)), "accepted"),
            ("reply", mine(ARP, &frames::arp(2, MINE, MY_IP, PEER_IP)), "accepted"),
            ("announcement", shout(ARP, &frames::arp(1, MINE, MY_IP, MY_IP)), "accepted"),
            ("probe", shout(ARP, &frames::arp(1, MINE, NOBODY, MY_IP)), "accepted"),
            ("reply for nobody", mine(ARP, &frames::arp(2, MINE, NOBODY, MY_IP)), "spoofed-arp"),
            ("foreign MAC", mine(ARP, &frames::arp(2, PEER, MY_IP, PEER_IP)), "spoofed-arp"),
            ("foreign IP", mine(ARP, &frames::arp(2, MINE, PEER_IP, MY_IP)), "spoofed-arp"),
            ("other hardware", mine(ARP, &other_hardware), "spoofed-arp"),
            ("cut off", mine(ARP, &frames::arp(1, MINE, MY_IP, PEER_IP)[..17]), "malformed"),
        ],
    );
}

#[test]
fn ipv6_sources_are_the_ports_own() {
    let Some(bench) = Bench::new("ipv6_sources_are_the_ports_own", FULL) else { return };
    let datagram = frames::udp(1000, 2000, b"x");
    let deep = (0..7).fold(datagram.clone(), |inner, _| frames::extension(60, &inner));
    check(
        &bench,
        &[
            ("own address", mine(IPV6, &frames::ipv6(MY_IP6, PEER_IP6, UDP, &datagram)), "accepted"),
            (
                "own link-local address",
                mine(IPV6, &frames::ipv6(MY_LINK_LOCAL, PEER_IP6, UDP, &datagram)),
                "accepted",
            ),
            ("foreign address", mine(IPV6, &frames::ipv6(PEER_IP6, MY_IP6, UDP, &datagram)), "spoofed-ip"),
            (
                "nobody",
                mine(IPV6, &frames::ipv6(Ipv6Addr::UNSPECIFIED, PEER_IP6, UDP, &datagram)),
                "spoofed-ip",
            ),
            (
                "mapped IPv4",
                mine(IPV6, &frames::ipv6(PEER_IP.to_ipv6_mapped(), PEER_IP6, UDP, &datagram)),
                "spoofed-ip",
            ),
            (
                "own behind an extension",
                mine(IPV6, &frames::ipv6(MY_IP6, PEER_IP6, 60, &frames::extension(UDP, &datagram))),
                "accepted",
            ),
            ("too many extensions", mine(IPV6, &frames::ipv6(MY_IP6, PEER_IP6, 60, &deep)), "malformed"),
            ("extension cut off", mine(IPV6, &frames::ipv6(MY_IP6, PEER_IP6, 60, &[58, 0])), "malformed"),
            (
                "later fragment",
                mine(IPV6, &frames::ipv6(MY_IP6, PEER_IP6, 44, &frames::fragment(UDP, 100, b"rest"))),
                "accepted",
            ),
            (
                "foreign later fragment",
                mine(IPV6, &frames::ipv6(PEER_IP6, MY_IP6, 44, &frames::fragment(UDP, 100, b"rest"))),
                "spoofed-ip",
            ),
        ],
    );
}

#[test]
fn neighbour_discovery_speaks_for_the_port_only() {
    let Some(bench) = Bench::new("neighbour_discovery_speaks_for_the_port_only", FULL) else { return };
    let advertisement = |target, mac| frames::neighbour(136, target, &[(2, mac)]);
    let nobody = Ipv6Addr::UNSPECIFIED;
    let mut zero_option = frames::neighbour(136, MY_IP6, &[]);
    zero_option.extend([2, 0, 2, 0, 0, 0, 0, 2]);
    let hidden = frames::extension(ICMPV6, &advertisement(PEER_IP6, MINE));
    let fragmented = frames::fragment(ICMPV6, 0, &advertisement(MY_IP6, MINE));
    check(
        &bench,
        &[
            (
                "solicitation",
                shout(IPV6, &icmp(MY_IP6, &frames::neighbour(135, PEER_IP6, &[(1, MINE)]))),
                "accepted",
            ),
            (
                "duplicate detection",
                shout(IPV6, &icmp(nobody, &frames::neighbour(135, MY_IP6, &[]))),
                "accepted",
            ),
            (
                "detection of the link-local address",
                shout(IPV6, &icmp(nobody, &frames::neighbour(135, MY_LINK_LOCAL, &[]))),
                "accepted",
            ),
            (
                "detection of a foreign address",
                shout(IPV6, &icmp(nobody, &frames::neighbour(135, PEER_IP6, &[]))),
                "spoofed-nd",
            ),
            (
                "solicitation with foreign MAC",
                shout(IPV6, &icmp(MY_IP6, &frames::neighbour(135, PEER_IP6, &[(1, PEER)]))),
                "spoofed-nd",
            ),
            ("advertisement", mine(IPV6, &icmp(MY_IP6, &advertisement(MY_IP6, MINE))), "accepted"),
            (
                "advertisement of a foreign address",
                mine(IPV6, &icmp(MY_IP6, &advertisement(PEER_IP6, MINE))),
                "spoofed-nd",
            ),
            (
                "advertisement with foreign MAC",
                mine(IPV6, &icmp(MY_IP6, &advertisement(MY_IP6, PEER))),
                "spoofed-nd",
            ),
            (
                "foreign MAC in the second option",
                mine(IPV6, &icmp(MY_IP6, &frames::neighbour(136, MY_IP6, &[(2, MINE), (2, PEER)]))),
                "spoofed-nd",
            ),
            (
                "more options than are read",
                mine(IPV6, &icmp(MY_IP6, &frames::neighbour(136, MY_IP6, &[(9, MINE); 5]))),
                "spoofed-nd",
            ),
            ("option without length", mine(IPV6, &icmp(MY_IP6, &zero_option)), "spoofed-nd"),
            (
                "advertisement from nobody",
                mine(IPV6, &icmp(nobody, &advertisement(MY_IP6, MINE))),
                "spoofed-ip",
            ),
            (
                "hidden behind an extension",
                mine(IPV6, &frames::ipv6(MY_IP6, ALL_NODES, 0, &hidden)),
                "spoofed-nd",
            ),
            ("in a fragment", mine(IPV6, &frames::ipv6(MY_IP6, ALL_NODES, 44, &fragmented)), "spoofed-nd"),
            (
                "router advertisement",
                shout(IPV6, &icmp(MY_LINK_LOCAL, &frames::icmpv6(134, &[0; 12]))),
                "router-advertisement",
            ),
            ("redirect", mine(IPV6, &icmp(MY_LINK_LOCAL, &frames::icmpv6(137, &[0; 36]))), "spoofed-nd"),
            ("router solicitation", shout(IPV6, &icmp(nobody, &frames::icmpv6(133, &[0; 4]))), "accepted"),
            (
                "listener report",
                shout(
                    IPV6,
                    &frames::ipv6(
                        nobody,
                        ALL_NODES,
                        0,
                        &frames::extension(ICMPV6, &frames::icmpv6(143, &[0; 4])),
                    ),
                ),
                "accepted",
            ),
            ("ping from nobody", shout(IPV6, &icmp(nobody, &frames::icmpv6(128, &[0; 4]))), "spoofed-ip"),
            ("ping", mine(IPV6, &icmp(MY_IP6, &frames::icmpv6(128, &[0; 4]))), "accepted"),
            (
                "target cut off",
                mine(IPV6, &icmp(MY_IP6, &frames::neighbour(136, MY_IP6, &[])[..20])),
                "malformed",
            ),
        ],
    );
}

#[test]
fn a_port_without_guard_may_be_a_router() {
    let off = Guard { mac: false, ip: false };
    let Some(bench) = Bench::new("a_port_without_guard_may_be_a_router", off) else { return };
    check(
        &bench,
        &[
            ("foreign MAC", frames::ethernet(PEER, [2; 6], IPV4, &datagram(PEER_IP)), "accepted"),
            ("foreign ARP", mine(ARP, &frames::arp(2, PEER, PEER_IP, MY_IP)), "accepted"),
            (
                "router advertisement",
                shout(IPV6, &icmp(PEER_IP6, &frames::icmpv6(134, &[0; 12]))),
                "accepted",
            ),
            ("a tag all the same", frames::tagged(&mine(IPV4, &datagram(MY_IP)), 0x8100, 5), "tagged"),
        ],
    );
}

#[test]
fn a_mac_guard_alone_lets_foreign_addresses_pass() {
    let mac_only = Guard { mac: true, ip: false };
    let Some(bench) = Bench::new("a_mac_guard_alone_lets_foreign_addresses_pass", mac_only) else { return };
    check(
        &bench,
        &[
            ("foreign IP", mine(IPV4, &datagram(PEER_IP)), "accepted"),
            ("foreign ARP IP", mine(ARP, &frames::arp(2, MINE, PEER_IP, MY_IP)), "accepted"),
            ("foreign ARP MAC", mine(ARP, &frames::arp(2, PEER, PEER_IP, MY_IP)), "spoofed-arp"),
            (
                "foreign neighbour MAC",
                mine(IPV6, &icmp(PEER_IP6, &frames::neighbour(136, PEER_IP6, &[(2, PEER)]))),
                "spoofed-nd",
            ),
        ],
    );
}
