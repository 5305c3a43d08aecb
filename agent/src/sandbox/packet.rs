//! A socket for DHCP's packets, or ARP's, on one link: it works before the link has an address, and beside whatever the
//! pod listens to.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::{SandboxError, within};
use crate::fault;

/// Bytes of a hardware address.
const MAC_BYTES: u8 = 6;

/// What a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packets {
    /// IPv4 packets with UDP to a DHCP client's port.
    Dhcp,
    /// IPv6 packets with UDP to a DHCPv6 client's port.
    Dhcp6,
    /// ARP.
    Arp,
}

impl Packets {
    /// The link layer's protocol as the kernel wants it in a socket's address.
    const fn protocol(self) -> u16 {
        match self {
            // ETH_P_IP, ETH_P_IPV6 and ETH_P_ARP.
            Self::Dhcp => 0x0800_u16.to_be(),
            Self::Dhcp6 => 0x86dd_u16.to_be(),
            Self::Arp => 0x0806_u16.to_be(),
        }
    }
}

/// Lets UDP to port 68 pass and nothing else, from the IPv4 header on; later fragments are left out.
const FILTER: [libc::sock_filter; 9] = [
    // The protocol is UDP,
    filter(0x30, 0, 0, 9),
    filter(0x15, 0, 5, 17),
    // it is no later fragment,
    filter(0x28, 0, 0, 6),
    filter(0x45, 3, 0, 0x1fff),
    // and behind the IPv4 header the destination port is the client's.
    filter(0xb1, 0, 0, 0),
    filter(0x48, 0, 0, 2),
    filter(0x15, 1, 0, 68),
    filter(0x06, 0, 0, 0),
    filter(0x06, 0, 0, 0xffff),
];

/// The same for UDP to port 546 right behind an IPv6 header.
const FILTER6: [libc::sock_filter; 6] = [
    filter(0x30, 0, 0, 6),
    filter(0x15, 0, 2, 17),
    filter(0x28, 0, 0, 42),
    filter(0x15, 1, 0, 546),
    filter(0x06, 0, 0, 0),
    filter(0x06, 0, 0, 0xffff),
];

pub(super) const fn filter(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Sends and receives packets of one protocol on one link; the kernel adds and removes the Ethernet header.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    link: u32,
    packets: Packets,
}

impl PacketSocket {
    /// A socket on link `link` of the network namespace `netns`. It keeps the namespace alive until it is dropped.
    pub fn open_in(netns: BorrowedFd<'_>, link: u32, packets: Packets) -> Result<Self, SandboxError> {
        within(netns, || Self::open(link, packets))?
    }

    /// A socket on link `link` of this thread's network namespace.
    pub fn open(link: u32, packets: Packets) -> Result<Self, SandboxError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Without a protocol it receives nothing until the filter is in place and the link chosen.
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None::<SockProtocol>)
            .map_err(SandboxError::Packet)?;
        let opened = Self { socket, link, packets };
        let filtered = match packets {
            Packets::Dhcp => opened.attach_filter(FILTER),
            Packets::Dhcp6 => opened.attach_filter(FILTER6),
            Packets::Arp => Ok(()),
        };
        filtered.and_then(|()| opened.bind()).map_err(SandboxError::Packet)?;
        fault::point();
        Ok(opened)
    }

    fn attach_filter<const LENGTH: usize>(&self, mut code: [libc::sock_filter; LENGTH]) -> Result<(), Errno> {
        let len = u16::try_from(code.len()).map_err(|_| Errno::EINVAL)?;
        let program = libc::sock_fprog { len, filter: code.as_mut_ptr() };
        let size = libc::socklen_t::try_from(size_of_val(&program)).map_err(|_| Errno::EINVAL)?;
        // SAFETY: `program` and the instructions that it points to outlive the call, which copies them.
        let outcome = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast::<c_void>(),
                size,
            )
        };
        Errno::result(outcome).map(drop)
    }

    fn bind(&self) -> Result<(), Errno> {
        let (address, size) = self.address([0; 6])?;
        // SAFETY: `address` is a sockaddr_ll of this size, and outlives the call.
        let outcome = unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), size) };
        Errno::result(outcome).map(drop)
    }

    fn address(&self, mac: [u8; 6]) -> Result<(libc::sockaddr_ll, libc::socklen_t), Errno> {
        let mut sll_addr = [0; 8];
        sll_addr[..6].copy_from_slice(&mac);
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).map_err(|_| Errno::EINVAL)?,
            sll_protocol: self.packets.protocol(),
            sll_ifindex: c_int::try_from(self.link).map_err(|_| Errno::EINVAL)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: MAC_BYTES,
            sll_addr,
        };
        let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(|_| Errno::EINVAL)?;
        Ok((address, size))
    }

    /// Sends a packet to the station `mac`.
    pub fn send(&self, mac: [u8; 6], packet: &[u8]) -> Result<(), Errno> {
        let (address, size) = self.address(mac)?;
        // SAFETY: the kernel reads `packet` and `address` in their lengths, and both outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast::<c_void>(),
                packet.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                size,
            )
        };
        Errno::result(sent).map(drop)
    }

    /// The next packet and the station that it came from, if one is there; a longer one is cut at the buffer's end.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<(usize, [u8; 6])>, Errno> {
        let (mut from, mut size) = self.address([0; 6])?;
        // SAFETY: the kernel writes at most the buffer's length and the address' size, and both outlive the call.
        let received = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                buffer.as_mut_ptr().cast::<c_void>(),
                buffer.len(),
                libc::MSG_DONTWAIT,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        match Errno::result(received) {
            Ok(length) => {
                let mut mac = [0; 6];
                mac.copy_from_slice(&from.sll_addr[..6]);
                Ok(Some((usize::try_from(length).unwrap_or_default(), mac)))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
