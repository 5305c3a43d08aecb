//! One request and its answers on a blocking socket.
//!
//! The kernel does the work of a route request inside `sendto` and queues the answers before that returns (a dump goes on
//! inside `recv`), so nothing is ever waited for: no event loop stands between a request and its acknowledgement.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, NetlinkAddr, recv, sendto};

/// The longest datagram that is read, in bytes; the kernel makes none longer for a reader like this one
/// (`netlink_dump`, net/netlink/af_netlink.c).
const DATAGRAM_BYTES: usize = 32 << 10;
/// Most datagrams of one answer: a dump of more links than a node can have.
const DATAGRAMS_MAX: usize = 1 << 16;
/// The kernel has answered when `sendto` returns; this only keeps a fault of it from holding a worker for ever.
const SILENCE_MS: u16 = 10_000;
/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;

/// A NETLINK_ROUTE socket, used by one thread.
pub(super) struct Exchange {
    socket: OwnedFd,
    sequence: Cell<u32>,
    buffer: RefCell<Vec<u8>>,
}

/// What has come so far.
#[derive(Default)]
struct Answers {
    messages: Vec<RouteNetlinkMessage>,
    is_complete: bool,
}

impl Exchange {
    /// Takes the socket over.
    pub(super) fn over(socket: OwnedFd) -> Self {
        Self { socket, sequence: Cell::new(0), buffer: RefCell::default() }
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Makes room for datagrams of so many bytes: the answer to a single question may be longer than a list's parts.
    pub(super) fn reserve(&self, bytes: usize) {
        if let Ok(mut buffer) = self.buffer.try_borrow_mut()
            && buffer.len() < bytes
        {
            buffer.resize(bytes, 0);
        }
    }

    /// Sends one request and collects the answers.
    pub(super) fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Errno> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = sequence;
        request.finalize();
        // Nobody else borrows it: a socket belongs to one thread, and nothing below calls back.
        let mut buffer = self.buffer.try_borrow_mut().map_err(|_| Errno::EBUSY)?;
        let room = DATAGRAM_BYTES.max(request.buffer_len()).max(buffer.len());
        buffer.resize(room, 0);
        let bytes = &mut buffer[..request.buffer_len()];
        request.serialize(bytes);
        sendto(self.socket.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answers = Answers::default();
        for _ in 0..DATAGRAMS_MAX {
            let count = self.receive(&mut buffer)?;
            answers.read(&buffer[..count], sequence, flags)?;
            if answers.is_complete {
                return Ok(answers.messages);
            }
        }
        Err(Errno::EMSGSIZE)
    }

    /// One datagram; the socket may be blocking or not.
    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let receive = |buffer: &mut [u8]| match recv(self.socket.as_raw_fd(), buffer, flags) {
            Ok(count) if count > buffer.len() => Err(Errno::EMSGSIZE),
            outcome => outcome,
        };
        match receive(buffer) {
            Err(Errno::EAGAIN) => {
                let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                poll(&mut ready, PollTimeout::from(SILENCE_MS))?;
                receive(buffer).map_err(|errno| if errno == Errno::EAGAIN { Errno::ETIMEDOUT } else { errno })
            }
            outcome => outcome,
        }
    }
}

impl Answers {
    /// Reads a datagram of one or more messages; what answers another request is left out.
    fn read(&mut self, mut datagram: &[u8], sequence: u32, flags: u16) -> Result<(), Errno> {
        while datagram.len() >= HEADER_BYTES && !self.is_complete {
            let header = NetlinkBuffer::new_checked(datagram).map_err(|_| Errno::EBADMSG)?;
            let length = (header.length() as usize).max(HEADER_BYTES);
            let is_ours = header.sequence_number() == sequence;
            let kind = header.message_type();
            if is_ours {
                match NetlinkMessage::deserialize(datagram) {
                    Ok(message) => self.take(message.payload, flags)?,
                    // One entry of a list that we cannot read does not spoil the others.
                    Err(error) if flags & NLM_F_DUMP != 0 && kind != NLMSG_ERROR => {
                        tracing::debug!(%error, kind, "an entry of the kernel's list is left out");
                    }
                    Err(_) => return Err(Errno::EBADMSG),
                }
            }
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn take(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>, flags: u16) -> Result<(), Errno> {
        match payload {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(Errno::from_raw(error.raw_code().saturating_abs()));
            }
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => self.is_complete = true,
            NetlinkPayload::InnerMessage(message) => {
                self.messages.push(message);
                // Without either of them the answer is this one message.
                self.is_complete = flags & (NLM_F_ACK | NLM_F_DUMP) == 0;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkMessage;

    use super::*;

    fn link(sequence: u32, index: u32) -> Vec<u8> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(message));
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// `struct nlmsghdr` and `struct nlmsgerr` with the header of the request that it answers.
    fn error(sequence: u32, code: i32) -> Vec<u8> {
        let header = |length: u32, kind: u16| {
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 2], &sequence.to_ne_bytes(), &[0; 4]]
                .concat()
        };
        [header(36, NLMSG_ERROR), code.to_ne_bytes().to_vec(), header(16, 16)].concat()
    }

    fn read(datagram: &[u8], flags: u16) -> Result<Answers, Errno> {
        let mut answers = Answers::default();
        answers.read(datagram, 7, flags).map(|()| answers)
    }

    #[test]
    fn an_acknowledged_request_ends_with_its_acknowledgement() {
        let both = [link(7, 3), error(7, 0)].concat();
        let answers = read(&both, NLM_F_ACK).unwrap();
        assert!(answers.is_complete && answers.messages.len() == 1);
        assert!(!read(&link(7, 3), NLM_F_ACK).unwrap().is_complete);
    }

    #[test]
    fn a_look_up_ends_with_its_one_answer_and_a_list_does_not() {
        assert!(read(&link(7, 3), 0).unwrap().is_complete);
        assert!(!read(&link(7, 3), NLM_F_DUMP).unwrap().is_complete);
    }

    #[test]
    fn what_answers_an_earlier_request_is_left_out() {
        let answers = read(&[error(6, -17), link(7, 3)].concat(), 0).unwrap();
        assert!(answers.is_complete && answers.messages.len() == 1);
        assert_eq!(read(&error(7, -17), 0).err(), Some(Errno::EEXIST));
    }

    proptest::proptest! {
        #[test]
        fn no_datagram_makes_the_reader_panic(bytes: Vec<u8>, flags: u16) {
            drop(read(&bytes, flags));
            let cut = [link(7, 3), bytes].concat();
            drop(read(&cut, flags));
        }
    }
}
