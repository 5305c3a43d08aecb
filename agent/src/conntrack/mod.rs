//! Connections that the kernel keeps in mind, over a NETLINK_NETFILTER socket.

mod message;

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use self::message::{Answer, Entry};

/// The longest datagram that is read, in bytes: the kernel makes none longer for a reader like this one.
const DATAGRAM_BYTES: usize = 32 << 10;
/// Most datagrams of one answer; the kernel's filter leaves few entries.
const DATAGRAMS_MAX: usize = 4096;
/// Most connections of one port that are forgotten.
const ENTRIES_MAX: usize = 65_536;
/// The kernel has answered when a request returns; this only keeps a fault of it from holding a worker for ever.
const SILENCE_S: i64 = 5;

/// Forgets the UDP connections of the address family of `like` whose destination was this port, so that their next
/// packet is looked at anew: otherwise a sender that never pauses keeps its old destination.
pub fn forget_udp(like: IpAddr, port: u16) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(SILENCE_S))?;
    let mut entries: Vec<Entry> = Vec::new();
    exchange(&socket, &message::list_udp(like, port), |entry| {
        if entry.is_udp_to(port) && entries.len() < ENTRIES_MAX {
            entries.push(entry);
        }
    })?;
    for entry in entries {
        match exchange(&socket, &entry.deletion(like), |_| {}) {
            // It ended by itself.
            Err(Errno::ENOENT) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// One request and its answers.
fn exchange(socket: &OwnedFd, request: &[u8], mut take: impl FnMut(Entry)) -> Result<(), Errno> {
    sendto(socket.as_raw_fd(), request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    for _ in 0..DATAGRAMS_MAX {
        let count = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            outcome => outcome?,
        };
        for answer in message::answers(&buffer[..count]) {
            match answer {
                Answer::Entry(entry) => take(entry),
                Answer::Done => return Ok(()),
                Answer::Failed(errno) => return Err(errno),
            }
        }
    }
    Err(Errno::EMSGSIZE)
}
