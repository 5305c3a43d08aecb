//! ADD: search, ask, be given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plexus_cni::{CniError, Code};

use super::clock::{Dice, now_ms};
use super::config::Wishes;
use super::counts::count;
use super::family::Server;
use super::held::{HELD_VERSION, Held, Key};
use super::machine::{Event, Lease, Machine};
use super::message::{self, Client, Reply};
use super::probe;
use super::room::Dhcp;
use super::table::Entry;
use super::terms::Terms;
use super::{frame, frame6};
use crate::ipam::IpamResult;
use crate::record::NetnsId;
use crate::sandbox::{PacketSocket, Packets, SandboxError};

/// So long an ADD waits for a server. dnsmasq alone looks for three seconds whether an address is in use.
const ACQUIRE_MS: u64 = 25_000;
/// Questions whether somebody uses the address that was given, and the pause after each, in milliseconds: a fifth of a
/// second, where RFC 5227 takes some seconds, since the pod waits.
const PROBES: u32 = 2;
const PROBE_PAUSE_MS: u64 = 100;
/// The largest packet that is read, in bytes.
const PACKET_BYTES_MAX: usize = 2048;
/// Everybody on the link.
const EVERYBODY: [u8; 6] = [0xff; 6];

/// What a lease is asked for.
pub(crate) struct Ask<'a> {
    /// Which attachment.
    pub(crate) key: Key,
    /// The container's namespace, by name and open.
    pub(crate) netns_id: &'a NetnsId,
    /// The same, open.
    pub(crate) netns: BorrowedFd<'a>,
    /// Index of the interface in it, which is up.
    pub(crate) link: u32,
    /// The interface's hardware address.
    pub(crate) mac: [u8; 6],
    /// The host's link that leads where the interface leads, if there is one.
    pub(crate) uplink: Option<String>,
    /// Options.
    pub(crate) wishes: Wishes,
    /// The interface's link-local address, for a lease of IPv6.
    pub(crate) source: Option<Ipv6Addr>,
}

impl Dhcp {
    /// A lease for an interface that is up and has no address yet; renewed from then on. On failure nothing is left.
    pub(crate) fn acquire(&self, ask: Ask<'_>) -> Result<IpamResult, CniError> {
        let _place = self.place()?;
        if self.table().get(&ask.key).is_some() || self.store.get(&ask.key)?.is_some() {
            return Err(CniError::new(
                Code::AlreadyAttached,
                format!(
                    "dhcp: interface {} of container {} has a lease",
                    ask.key.ifname, ask.key.container_id
                ),
            )
            .because("it was added before; DEL must come between two ADDs"));
        }
        let mut held = Held {
            version: HELD_VERSION,
            boot_id: self.boot_id.clone(),
            key: ask.key,
            netns: ask.netns_id.clone(),
            link: ask.link,
            mac: ask.mac,
            wishes: ask.wishes,
            source: ask.source,
            uplink: ask.uplink,
            station: EVERYBODY,
            lease: None,
            applied: None,
            told: None,
        };
        let socket = PacketSocket::open_in(ask.netns, ask.link, held.packets())
            .map_err(|error| unusable(&held.key, &error))?;
        let given = self.search(&mut held, &socket, ask.netns).and_then(|lease| {
            held.applied = Some(lease.terms.clone());
            held.told = Some(lease.terms.clone());
            held.lease = Some(lease.clone());
            self.store.put(&held).map(|()| lease)
        });
        let lease = match given {
            Ok(lease) => lease,
            Err(error) => {
                let forgotten = self.give_back(&held, Some(&socket));
                let details = forgotten.err().map(|second| format!("{}; {second}", error.details));
                return Err(match details {
                    Some(details) => error.because(details),
                    None => error,
                });
            }
        };
        count(&self.counts.acquired);
        let result = lease.terms.result(held.wishes.priority);
        let machine = Machine::bound(lease, &mut Dice::new());
        self.table().insert(held.key.clone(), Entry { held, machine });
        self.ring();
        Ok(result)
    }

    /// The exchange on the interface. What is asked for is written down before it is asked for.
    fn search(
        &self,
        held: &mut Held,
        socket: &PacketSocket,
        netns: BorrowedFd<'_>,
    ) -> Result<Lease, CniError> {
        let client = held.client();
        let mut dice = Dice::new();
        let mut machine = Machine::new(now_ms());
        let give_up_ms = now_ms().saturating_add(ACQUIRE_MS);
        let mut trouble = None;
        let mut claimant = None;
        loop {
            let now = now_ms();
            if now >= give_up_ms {
                return Err(nobody(held, trouble.as_deref()));
            }
            let mut event = machine.wake(now, &mut dice);
            if event.is_none() {
                wait(socket, machine.next_ms().min(give_up_ms).saturating_sub(now));
                if let Some((reply, station)) = receive(socket, &client) {
                    held.station = station;
                    event = machine.hear(now_ms(), reply, &mut dice);
                }
            }
            match event {
                Some(Event::Send { ask, .. }) => {
                    if let message::Ask::Select { address, server } = ask {
                        self.intend(held, address, server)?;
                    }
                    if let Err(errno) = send(socket, &client, ask, machine.transaction(now_ms()), None) {
                        trouble = Some(format!("sending failed: {errno}"));
                    }
                }
                Some(Event::Bound) => {
                    let lease = machine.lease().cloned().ok_or_else(|| nobody(held, None))?;
                    let other = claim(held, netns, lease.terms.address.addr())
                        .map_err(|error| unusable(&held.key, &error))?;
                    // A station that claims each address speaks for others, as a router with proxy ARP does.
                    if other.is_none() || other == claimant {
                        return Ok(lease);
                    }
                    claimant = other;
                    trouble = Some(self.decline(held, socket, &mut machine, &mut dice)?);
                }
                Some(Event::Refused) => {
                    count(&self.counts.refused);
                    trouble = Some("a server refused the address that it had offered".to_owned());
                }
                Some(Event::Unusable(why)) => {
                    trouble = Some(format!("the answer of server {} cannot be used: {why}", server_of(held)));
                }
                Some(Event::Expired) | None => {}
            }
        }
    }

    /// Tells the server that somebody else uses the address; what there is to say of it.
    fn decline(
        &self,
        held: &mut Held,
        socket: &PacketSocket,
        machine: &mut Machine,
        dice: &mut Dice,
    ) -> Result<String, CniError> {
        count(&self.counts.declined);
        // It is not ours to give back.
        held.lease = None;
        self.store.put(held)?;
        let now = now_ms();
        let Some(ask) = machine.decline(now, dice) else { return Ok(String::new()) };
        let (container, ifname) = (&held.key.container_id, &held.key.ifname);
        tracing::warn!(container, ifname, ?ask, "another station uses the address that the server gave");
        if let Err(errno) = send(socket, &held.client(), ask, machine.transaction(now), None) {
            tracing::debug!(ifname, %errno, "the server was not told");
        }
        Ok("another station uses the address that the server gave".to_owned())
    }

    fn intend(&self, held: &mut Held, address: IpAddr, server: Server) -> Result<(), CniError> {
        let terms = Terms::intended(address, server);
        if held.lease.as_ref().is_some_and(|lease| lease.terms == terms) {
            return Ok(());
        }
        held.lease = Some(Lease { terms, since_ms: now_ms() });
        self.store.put(held)
    }
}

fn server_of(held: &Held) -> String {
    held.lease.as_ref().map(|lease| lease.terms.server.to_string()).unwrap_or_default()
}

fn nobody(held: &Held, trouble: Option<&str>) -> CniError {
    let what = format!("dhcp: interface {} got no lease within {} s", held.key.ifname, ACQUIRE_MS / 1000);
    let why = trouble.unwrap_or("no server answered");
    CniError::new(Code::TryAgain, what).because(format!(
        "{why}; see whether a server serves this network and has free addresses, and what it logs for hardware address \
         {} and client {:?}",
        held.mac.map(|byte| format!("{byte:02x}")).join(":"),
        held.client().id,
    ))
}

fn unusable(key: &Key, error: &SandboxError) -> CniError {
    CniError::new(Code::Kernel, format!("dhcp: interface {} cannot be used", key.ifname))
        .because(error.to_string())
}

/// The station that uses an address on the interface's network, if one says so in time. For IPv6 the kernel asks.
fn claim(held: &Held, netns: BorrowedFd<'_>, address: IpAddr) -> Result<Option<[u8; 6]>, SandboxError> {
    let IpAddr::V4(address) = address else { return Ok(None) };
    let socket = PacketSocket::open_in(netns, held.link, Packets::Arp)?;
    let question = probe::question(held.mac, address);
    let mut buffer = [0; PACKET_BYTES_MAX];
    for _ in 0..PROBES {
        // A link that takes nothing gets no answer either.
        socket.send(EVERYBODY, &question).map(drop).unwrap_or_default();
        let until = now_ms().saturating_add(PROBE_PAUSE_MS);
        while let Some(left) = until.checked_sub(now_ms()).filter(|left| *left > 0) {
            wait(&socket, left);
            let Ok(Some((length, _))) = socket.receive(&mut buffer) else { continue };
            let packet = buffer.get(..length).unwrap_or_default();
            if let Some(station) = probe::claimant(packet, held.mac, address) {
                return Ok(Some(station));
            }
        }
    }
    Ok(None)
}

/// Waits until a packet is there, at most so many milliseconds.
fn wait(socket: &PacketSocket, limit_ms: u64) {
    let limit = PollTimeout::try_from(limit_ms.min(60_000)).unwrap_or(PollTimeout::ZERO);
    // Whatever it says, the caller looks.
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], limit).map(drop).unwrap_or_default();
}

/// The next answer for this client and the station that it came from, if one is there.
pub(super) fn receive(socket: &PacketSocket, client: &Client) -> Option<(Reply, [u8; 6])> {
    let mut buffer = [0; PACKET_BYTES_MAX];
    let (length, station) = socket.receive(&mut buffer).ok().flatten()?;
    let packet = buffer.get(..length)?;
    let message = if client.source.is_some() { frame6::unwrap(packet) } else { frame::unwrap(packet) }?;
    Some((client.read(message)?, station))
}

/// Sends one message of a transaction: to a server and the station that leads to it, or to all. DHCPv6 sends to all, and
/// names the server in the message.
pub(super) fn send(
    socket: &PacketSocket,
    client: &Client,
    ask: message::Ask,
    (xid, seconds): (u32, u16),
    to: Option<([u8; 6], Server)>,
) -> Result<(), Errno> {
    let message = client.write(ask, xid, seconds).ok_or(Errno::EMSGSIZE)?;
    if let Some(source) = client.source {
        let packet = frame6::wrap(source, &message).ok_or(Errno::EMSGSIZE)?;
        return socket.send(frame6::SERVERS_STATION, &packet);
    }
    let from = match ask {
        message::Ask::Extend { address: IpAddr::V4(address), .. }
        | message::Ask::Release { address: IpAddr::V4(address), .. } => address,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let (station, server) = match to {
        Some((station, Server::V4(server))) => (station, server),
        _ => (EVERYBODY, Ipv4Addr::BROADCAST),
    };
    let packet = frame::wrap(from, server, &message).ok_or(Errno::EMSGSIZE)?;
    socket.send(station, &packet)
}
