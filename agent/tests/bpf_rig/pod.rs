//! Network namespaces with a device and a UDP socket: pods, and machines outside.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sched::{CloneFlags, unshare};
use plexus_abi::port_ifindex;
use plexus_agent::{
    datapath::{Guard, PortKind, PortSpec, device},
    sandbox::{open_netlink, within},
};

use super::{ifindex, ip, netns_path};

/// Where every machine of the tests listens.
pub(crate) const PORT: u16 = 4000;

/// A network namespace with one device, `eth0`.
pub(crate) struct Machine {
    pub(crate) netns: OwnedFd,
    /// A netlink socket inside, as the shim passes one.
    pub(crate) control: OwnedFd,
    pub(crate) mac: [u8; 6],
    pub(crate) addresses: Vec<IpAddr>,
    socket: Option<UdpSocket>,
}

impl Machine {
    /// A machine whose `eth0` is a macvlan on `parent` with this index.
    pub(crate) fn on_macvlan(number: u8, parent: &str, index: u32) -> Self {
        let mut machine = Self::new(number);
        let (mac, netns) = (machine.mac_text(), netns_path(&machine.netns));
        ip(&format!(
            "link add link {parent} name eth0 index {index} address {mac} netns {netns} type macvlan mode bridge"
        ));
        machine.configure(number);
        machine
    }

    fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// An empty namespace.
    pub(crate) fn new(number: u8) -> Self {
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
            OwnedFd::from(File::open("/proc/thread-self/ns/net").expect("netns"))
        });
        let netns = thread.join().expect("netns thread");
        let control = open_netlink(netns.as_fd()).expect("netlink socket");
        Self { netns, control, mac: [2, 0, 0, 0, 0, number], addresses: Vec::new(), socket: None }
    }

    /// A machine behind a veth whose end here is `host_device` with index `host_ifindex` (0: any).
    pub(crate) fn behind(number: u8, host_device: &str, host_ifindex: u32) -> Self {
        let mut machine = Self::new(number);
        let index = if host_ifindex == 0 { String::new() } else { format!("index {host_ifindex}") };
        let (mac, netns) = (machine.mac_text(), netns_path(&machine.netns));
        ip(&format!(
            "link add name {host_device} {index} type veth peer name eth0 address {mac} netns {netns}"
        ));
        ip(&format!("link set {host_device} up"));
        machine.configure(number);
        machine
    }

    /// Addresses, GRO and a socket on `eth0`.
    pub(crate) fn configure(&mut self, number: u8) {
        let addresses = [format!("10.9.0.{number}"), format!("fd09::{number:x}")];
        self.inside(|| {
            ip("link set lo up");
            ip("link set eth0 up");
            device::enable_gro(ifindex("eth0")).expect("GRO");
            ip(&format!("addr add {}/24 dev eth0", addresses[0]));
            ip(&format!("addr add {}/64 dev eth0 nodad", addresses[1]));
        });
        self.addresses = addresses.iter().map(|address| address.parse().expect("address")).collect();
        let socket = self.inside(|| UdpSocket::bind(("::", PORT)).expect("bind"));
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        self.socket = Some(socket);
    }

    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.netns.as_fd(), work).expect("enter")
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        self.socket.as_ref().expect("a configured machine")
    }

    pub(crate) fn v4(&self) -> IpAddr {
        self.addresses[0]
    }

    pub(crate) fn v6(&self) -> IpAddr {
        self.addresses[1]
    }

    pub(crate) fn send(&self, to: IpAddr, text: &str) {
        let to = match to {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            IpAddr::V6(_) => to,
        };
        self.socket().send_to(text.as_bytes(), SocketAddr::new(to, PORT)).expect("send");
    }

    /// The next datagram; a generous limit ends a test that would hang.
    pub(crate) fn receive(&self) -> Option<String> {
        let mut buffer = [0; 2048];
        let (bytes, _) = self.socket().recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..bytes]).into_owned())
    }

    /// Sends until it arrives, because the first datagram waits for address resolution and may be lost.
    pub(crate) fn reaches(&self, other: &Self, to: IpAddr) {
        let text = format!("{:?} to {to}", self.mac);
        self.send(to, &text);
        assert_eq!(other.receive().as_deref(), Some(text.as_str()), "from {:?} to {to}", self.mac);
    }

    /// Frames that `eth0` has received.
    pub(crate) fn heard(&self) -> u64 {
        let path = "/proc/thread-self/net/dev";
        let table = self.inside(|| std::fs::read_to_string(path).expect("statistics"));
        let line = table.lines().find(|line| line.trim_start().starts_with("eth0:")).expect("eth0");
        line.split_whitespace().nth(2).and_then(|packets| packets.parse().ok()).expect("packets")
    }

    /// Sends to `other` and back, one datagram at a time, until told to stop; how many were sent and how many lost.
    pub(crate) fn exchange(&self, other: &Self, stop: &AtomicBool) -> (u32, u32) {
        let (mut sent, mut lost) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            for (from, to) in [(self, other), (other, self)] {
                let text = format!("datagram {sent}");
                from.send(to.v4(), &text);
                sent += 1;
                lost += u32::from(to.receive().as_deref() != Some(text.as_str()));
            }
        }
        (sent, lost)
    }
}

/// A port specification that only counts and polices.
pub(crate) fn tap(id: u32, machine: &Machine, kind: PortKind) -> PortSpec<'_> {
    let guard = Guard { mac: false, ip: false };
    PortSpec { kind, guard, socket: Some(machine.control.as_fd()), ..fastpath(id, machine, 0, 0) }
}

/// A fastpath pod's port specification.
pub(crate) fn fastpath(id: u32, machine: &Machine, network: u32, vlan: u16) -> PortSpec<'_> {
    PortSpec {
        id,
        kind: PortKind::Fastpath { network, vlan },
        ifindex: port_ifindex(id),
        mac: machine.mac,
        ips: machine.addresses.clone(),
        guard: Guard { mac: true, ip: true },
        ingress: None,
        egress: None,
        socket: None,
    }
}
