//! Drops and captures as plexusctl shows them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use plexus_agent::lab::{NetNs, Pod};
use serde_json::{Value, json};

use crate::support::{Node, fastpath, macvlan, succeeded, with};

const PORT: u16 = 4242;
/// Packets each way.
const ROUNDS: u8 = 5;
/// Ethernet, IPv4 and UDP headers.
const HEADER_BYTES: usize = 14 + 20 + 8;
const PATIENCE: Duration = Duration::from_secs(20);

/// plexusctl as a process, with the lines that it prints.
struct Ctl {
    process: Child,
    lines: Receiver<String>,
}

impl Ctl {
    fn start(node: &Node, arguments: &[&str]) -> Self {
        let mut command = Command::new(node.binaries.plexusctl());
        command.arg("--socket").arg(node.host.socket()).args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    /// The first document for which `test` holds, of those that come while `provoke` is done again and again.
    fn first(&self, provoke: impl Fn(), test: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100 {
            provoke();
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
                let document: Value = serde_json::from_str(&line).unwrap();
                if test(&document) {
                    return document;
                }
            }
        }
        panic!("plexusctl printed nothing of the kind");
    }

    /// Ctrl-C, and what it said at its end.
    fn interrupt(self) -> String {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGINT).unwrap();
        self.end()
    }

    fn end(self) -> String {
        let output = self.process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }
}

fn address(result: &Value) -> IpAddr {
    result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap()
}

/// The packets of a file, once it has the head that plexusctl writes when the capture runs.
fn packets(file: &PathBuf) -> Option<Vec<EnhancedPacketBlock<'static>>> {
    let mut reader = PcapNgReader::new(File::open(file).ok()?).ok()?;
    let mut packets = Vec::new();
    while let Some(Ok(block)) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.into_owned() {
            packets.push(packet);
        }
    }
    Some(packets)
}

/// A socket on `ip` in a namespace.
fn socket(netns: &NetNs, ip: IpAddr) -> UdpSocket {
    let socket = netns.within(|| UdpSocket::bind((ip, PORT))).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Captures at a pod while it exchanges datagrams with another machine, and compares every byte that was sent.
fn is_captured(node: &Node, pod: &Pod, ifname: &str, own: IpAddr, peer: (&NetNs, IpAddr)) {
    let file = node.host.dir().join("capture.pcapng");
    let (near, far) = (socket(&pod.netns, own), socket(peer.0, peer.1));
    // Address resolution happens before.
    near.send_to(b"hello", (peer.1, PORT)).unwrap();
    far.recv(&mut [0; 64]).unwrap();
    let name = format!("{}/{}", pod.namespace, pod.name);
    let shown = file.display().to_string();
    let filter = format!("udp and port {PORT} and host {}", peer.1);
    let ctl = Ctl::start(node, &["capture", &name, ifname, "--filter", &filter, "-w", &shown]);
    let started = std::time::Instant::now();
    while packets(&file).is_none() && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut sent = Vec::new();
    for round in 0..ROUNDS {
        let payload = |way: u8| vec![16 * way + round; 100 + usize::from(round)];
        near.send_to(&payload(1), (peer.1, PORT)).unwrap();
        far.recv(&mut [0; 2048]).unwrap();
        far.send_to(&payload(2), (own, PORT)).unwrap();
        near.recv(&mut [0; 2048]).unwrap();
        sent.extend([(2, payload(1)), (1, payload(2))]);
    }
    std::thread::sleep(Duration::from_millis(300));
    let said = ctl.interrupt();
    assert!(said.contains("10 packets written, 0 lost"), "{said}");
    let captured: Vec<(u32, Vec<u8>)> = packets(&file).unwrap().iter().map(seen).collect();
    assert_eq!(captured, sent);
    std::fs::remove_file(&file).unwrap();
}

/// Direction and payload of a captured datagram.
fn seen(packet: &EnhancedPacketBlock<'_>) -> (u32, Vec<u8>) {
    let flags = packet.options.iter().find_map(|option| match option {
        EnhancedPacketOption::Flags(flags) => Some(*flags),
        _ => None,
    });
    assert_eq!(packet.original_len as usize, packet.data.len());
    (flags.unwrap(), packet.data[HEADER_BYTES..].to_vec())
}

#[test]
fn a_capture_has_both_directions_between_fastpath_pods_and_with_the_outside() {
    let Some(node) = Node::start() else { return };
    let config = with(fastpath(), "vlan", json!(0));
    let (one, two) = (node.pod("a"), node.pod("b"));
    let own = address(&succeeded(&node.add(&one, "net1", &config)));
    let other = address(&succeeded(&node.add(&two, "net1", &config)));
    is_captured(&node, &one, "net1", own, (&two.netns, other));
    node.outside.ip(&["addr", "add", "10.2.0.250/24", "dev", "eth0"]).unwrap();
    is_captured(&node, &one, "net1", own, (&node.outside, "10.2.0.250".parse().unwrap()));
    for pod in [&one, &two] {
        succeeded(&node.del(pod, "net1", &config));
    }
    node.assert_clean(&[&one, &two]);
}

#[test]
fn a_capture_has_both_directions_of_a_macvlan() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let own = address(&succeeded(&node.add(&pod, "net1", &macvlan())));
    node.outside.ip(&["addr", "add", "10.1.0.250/24", "dev", "eth1"]).unwrap();
    is_captured(&node, &pod, "net1", own, (&node.outside, "10.1.0.250".parse().unwrap()));
    succeeded(&node.del(&pod, "net1", &macvlan()));
    node.assert_clean(&[&pod]);
}

#[test]
fn spoofed_packets_are_followed_and_captured_with_what_they_were() {
    let Some(mut node) = Node::start() else { return };
    let pod = node.pod("a");
    let config = with(macvlan(), "plexus", json!({"macspoofchk": true, "ipspoofchk": true}));
    succeeded(&node.add(&pod, "net1", &config));
    pod.netns.ip(&["neigh", "add", "10.1.0.99", "lladdr", "02:00:00:00:00:99", "dev", "net1"]).unwrap();
    pod.netns.ip(&["addr", "add", "10.1.0.77/32", "dev", "net1"]).unwrap();
    let socket = socket(&pod.netns, "10.1.0.77".parse().unwrap());
    // The kernel takes a dropped packet for a full queue.
    let spoof = || drop(socket.send_to(b"spoofed", "10.1.0.99:9"));
    let ctl = Ctl::start(&node, &["drops", "default/a", "--follow", "-o", "json"]);
    let seen = ctl.first(spoof, |document| document["reason"] == "spoofed-ip");
    assert_eq!((&seen["pod"], &seen["interface"]), (&json!("default/a"), &json!("net1")), "{seen}");
    assert_eq!((&seen["network"], &seen["direction"]), (&json!("lan"), &json!("from-pod")), "{seen}");
    assert_eq!(seen["summary"], "UDP 10.1.0.77:4242 > 10.1.0.99:9", "{seen}");
    assert_eq!((&seen["packet"]["destinationPort"], &seen["length"]), (&json!(9), &json!(49)), "{seen}");
    let file = node.host.dir().join("drops.pcapng").display().to_string();
    let capture =
        Ctl::start(&node, &["capture", "a", "net1", "--count", "2", "--filter", "dst port 9", "-w", &file]);
    for _ in 0..20 {
        spoof();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(capture.end().starts_with("2 packets written"));
    let packets = packets(&file.into()).unwrap();
    assert!(packets[0].options.contains(&EnhancedPacketOption::Comment("dropped: spoofed-ip".into())));
    // An agent that ends takes its followers with it; a killed one leaves nothing on that a new one would not turn off.
    node.plexusd.kill().unwrap();
    node.plexusd.restart().unwrap();
    drop(ctl.process.wait_with_output().unwrap());
    let counted = Ctl::start(&node, &["drops", "-o", "json"]);
    let rows: Vec<String> = counted.lines.iter().collect();
    let rows: Value = serde_json::from_str(&rows.concat()).unwrap();
    assert_eq!(rows[0]["reason"], "spoofed-ip", "{rows}");
    assert!(counted.end().is_empty());
    succeeded(&node.del(&pod, "net1", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn what_cannot_be_captured_is_refused_with_a_reason() {
    let Some(node) = Node::start() else { return };
    let refused = |arguments: &[&str], reason: &str| {
        let output = Ctl::start(&node, arguments).process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{said}");
    };
    refused(&["capture", "nobody", "net1", "-w", "-"], "no pod nobody");
    refused(&["capture", "a", "net1", "--filter", "quic", "-w", "-"], "is no test");
    refused(&["drops", "nobody", "--follow"], "no pod nobody");
}
