//! A plain blocking netlink socket: one request, one acknowledgement, nothing cached.

use std::io;

use anyhow::{Context as _, Result, anyhow, bail};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Longer than any answer about one link, in bytes.
const ANSWER_BYTES: usize = 32 << 10;
/// Datagrams read for one request, at most: the answer and the acknowledgement.
const DATAGRAMS_MAX: usize = 8;

/// A NETLINK_ROUTE socket; it stays in the network namespace in which it was opened.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn open() -> Result<Self> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().context("cannot open a netlink socket")?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(ANSWER_BYTES) })
    }

    /// Sends one request and waits for its acknowledgement; returns the message that came before it, if one did.
    pub(super) fn call(
        &mut self,
        what: &str,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).with_context(|| format!("cannot send the request to {what}"))?;
        self.answer(what)
    }

    fn answer(&mut self, what: &str) -> Result<Option<RouteNetlinkMessage>> {
        let mut answer = None;
        for _ in 0..DATAGRAMS_MAX {
            self.buffer.clear();
            self.socket
                .recv(&mut self.buffer, 0)
                .with_context(|| format!("cannot read the answer to {what}"))?;
            let mut rest = &self.buffer[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| anyhow!("cannot read the answer to {what}: {error}"))?;
                let length = message.header.length as usize;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answer),
                    NetlinkPayload::Error(error) => {
                        return Err(error.to_io()).with_context(|| format!("the kernel refused to {what}"));
                    }
                    NetlinkPayload::InnerMessage(inner) => answer = Some(inner),
                    _ => {}
                }
            }
        }
        bail!("no acknowledgement to {what} within {DATAGRAMS_MAX} datagrams")
    }
}
