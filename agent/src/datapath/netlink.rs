//! Netlink requests, as few bytes as the data plane needs: filters on devices, and XDP features.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt,
        socket, sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};

/// `NLM_F_*` of include/uapi/linux/netlink.h.
pub(super) const REQUEST: u16 = 1;
pub(super) const ACK: u16 = 4;
pub(super) const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
const NESTED: u16 = 1 << 15;

const NLMSG_ERROR: u16 = 2;
const MESSAGE_HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const ANSWER_BYTES: usize = 16 * 1024;
const MAX_STALE_ANSWERS: usize = 16;

/// The kernel answers such requests within the call; the limit only keeps a fault from hanging the agent.
const ANSWER_LIMIT: TimeVal = TimeVal::new(1, 0);

/// Sequence numbers on a shared socket start here, far from those of its other user.
const SHARED_SEQUENCE: u32 = 1 << 31;

/// A message on its way to the kernel.
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A message of a kind, with the family's own header.
    pub(super) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // The sequence number is filled in when it is sent.
        bytes.extend([0; 8]);
        bytes.extend(header);
        Self { bytes }
    }

    /// Appends an attribute; `value` is shorter than 64 KiB, as all of ours are.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        push(&mut self.bytes, kind, value);
        self
    }

    /// Appends attributes inside an attribute.
    pub(super) fn nested(self, kind: u16, attributes: &[(u16, &[u8])]) -> Self {
        let mut inner = Vec::new();
        for (kind, value) in attributes {
            push(&mut inner, *kind, value);
        }
        self.attribute(kind | NESTED, &inner)
    }
}

fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A netlink socket; it works in the network namespace in which it was opened, whoever uses it.
pub(super) struct Conversation {
    socket: OwnedFd,
    sequence: AtomicU32,
}

impl Conversation {
    /// Opens a socket in the thread's network namespace.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&socket, ReceiveTimeout, &ANSWER_LIMIT)?;
        Ok(Self { socket, sequence: AtomicU32::new(1) })
    }

    /// Takes a socket that somebody else also uses, though not at the same time. Route requests are answered within
    /// `sendto`, so it does not matter whether the socket blocks.
    pub(super) fn over(socket: OwnedFd) -> Self {
        Self { socket, sequence: AtomicU32::new(SHARED_SEQUENCE) }
    }

    /// Sends a request and returns what the answer holds behind the message header; nothing for an acknowledgement.
    pub(super) fn ask(&self, request: Request) -> io::Result<Vec<u8>> {
        let mut bytes = request.bytes;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed).to_ne_bytes();
        bytes.splice(..4, length.to_ne_bytes());
        bytes.splice(8..12, sequence);
        sendto(self.socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = vec![0; ANSWER_BYTES];
        for _ in 0..MAX_STALE_ANSWERS {
            let received = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let answer = answer.get(..received).unwrap_or_default();
            // An answer that came after its request gave up is not ours.
            if answer.get(8..12) == Some(sequence.as_slice()) {
                return unwrap_answer(answer);
            }
        }
        Err(io::Error::other("the kernel answered other requests only"))
    }
}

/// What an answer holds, or the error it carries.
fn unwrap_answer(answer: &[u8]) -> io::Result<Vec<u8>> {
    let cut_off = || io::Error::other("the kernel's answer is cut off");
    let kind =
        answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(cut_off)?;
    let body = answer.get(MESSAGE_HEADER_BYTES..).ok_or_else(cut_off)?;
    if kind != NLMSG_ERROR {
        return Ok(body.to_vec());
    }
    match body.get(..4).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes).ok_or_else(cut_off)? {
        0 => Ok(Vec::new()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// The value of an attribute in a list of attributes.
pub(super) fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [l0, l1, k0, k1, ..] = *list {
        let bytes = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = list.get(ATTRIBUTE_HEADER_BYTES..bytes)?;
        if u16::from_ne_bytes([k0, k1]) & !NESTED == wanted {
            return Some(value);
        }
        list = list.get(bytes.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_behind_others_and_inside() {
        let request = Request::new(1, REQUEST, &[]).attribute(9, &[1]).nested(7, &[(3, &[4, 5])]);
        let list = &request.bytes[MESSAGE_HEADER_BYTES..];
        assert_eq!(attribute(list, 9), Some([1].as_slice()));
        assert_eq!(attribute(list, 7).and_then(|inner| attribute(inner, 3)), Some([4, 5].as_slice()));
        assert_eq!(attribute(list, 8), None);
    }

    #[test]
    fn an_error_answer_is_an_error_and_an_acknowledgement_is_none() {
        for (code, expected) in [(0, None), (-17, Some(17))] {
            let answer = Request::new(NLMSG_ERROR, 0, &i32::to_ne_bytes(code)).bytes;
            assert_eq!(unwrap_answer(&answer).err().and_then(|error| error.raw_os_error()), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes: Vec<u8>, wanted: u16) {
            proptest::prop_assert!(attribute(&bytes, wanted).is_none_or(|value| value.len() <= bytes.len()));
            proptest::prop_assert!(unwrap_answer(&bytes).is_err() || bytes.len() >= MESSAGE_HEADER_BYTES);
        }
    }
}
