//! Messages to and from a server of DHCP for IPv4, and what both kinds have in common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::catch_unwind;

use dhcproto::v4::{
    DhcpOption, Flags, MAGIC, MIN_PACKET_SIZE, Message, MessageType, Opcode, OptionCode, UnknownOption,
};
use dhcproto::{Decodable as _, Decoder, Encodable as _};

use super::config::Wishes;
use super::family::Server;
use super::message6;
use super::terms::Terms;

/// The largest message that we take, in bytes: one packet on any Ethernet.
const MESSAGE_BYTES_MAX: u16 = 1472;

/// Who asks, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// By which the server knows the lease.
    pub(super) id: String,
    /// The interface's hardware address.
    pub(super) mac: [u8; 6],
    pub(super) wishes: Wishes,
    /// The interface's link-local address, for a client of DHCPv6.
    pub(super) source: Option<Ipv6Addr>,
}

/// What is sent. Addresses of the client stand where RFC 2131, table 5, has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Who has an address?
    Discover,
    /// This one, please, of this server.
    Select { address: IpAddr, server: Server },
    /// Is this still mine?
    Reboot { address: IpAddr },
    /// I use this, and want to go on; of this server, or of any.
    Extend { address: IpAddr, server: Option<Server> },
    /// I do not need it any more.
    Release { address: IpAddr, server: Server },
    /// Somebody else uses it.
    Decline { address: IpAddr, server: Server },
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: Kind,
    pub(super) xid: u32,
    pub(super) server: Server,
}

/// An answer's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Offer {
        address: IpAddr,
    },
    /// The terms, or why they cannot be used.
    Ack(Box<Result<Terms, &'static str>>),
    Nak,
}

impl Client {
    /// The client identifier as the reference plugin makes it.
    pub(super) fn id_of(container_id: &str, network: &str, ifname: &str) -> String {
        let mut id = format!("{container_id}/{network}/{ifname}");
        let end = (0..=254.min(id.len())).rev().find(|end| id.is_char_boundary(*end));
        id.truncate(end.unwrap_or_default());
        id
    }

    /// The message's bytes; `seconds` have passed since the first one of this transaction. `None` where it does not fit, or
    /// names an address of the other family.
    pub(super) fn write(&self, ask: Ask, xid: u32, seconds: u16) -> Option<Vec<u8>> {
        match self.source {
            Some(_) => message6::write(self, ask, xid, seconds),
            None => self.write_v4(ask, xid, seconds),
        }
    }

    fn write_v4(&self, ask: Ask, xid: u32, seconds: u16) -> Option<Vec<u8>> {
        let none = Ipv4Addr::UNSPECIFIED;
        let (kind, used) = match ask {
            Ask::Discover => (MessageType::Discover, none),
            Ask::Select { .. } | Ask::Reboot { .. } => (MessageType::Request, none),
            Ask::Extend { address, .. } => (MessageType::Request, v4(address)?),
            Ask::Release { address, .. } => (MessageType::Release, v4(address)?),
            Ask::Decline { .. } => (MessageType::Decline, none),
        };
        let is_answered = !matches!(ask, Ask::Release { .. } | Ask::Decline { .. });
        let mut message = Message::new_with_id(xid, used, none, none, none, &self.mac);
        message.set_secs(seconds);
        if used.is_unspecified() && is_answered {
            message.set_flags(Flags::default().set_broadcast());
        }
        let options = message.opts_mut();
        let id = [&[0], self.id.as_bytes()].concat();
        options.insert(DhcpOption::ClientIdentifier(id));
        match ask {
            Ask::Select { address, server } | Ask::Decline { address, server } => {
                options.insert(DhcpOption::RequestedIpAddress(v4(address)?));
                options.insert(DhcpOption::ServerIdentifier(of_v4(server)?));
            }
            Ask::Reboot { address } => {
                options.insert(DhcpOption::RequestedIpAddress(v4(address)?));
            }
            Ask::Release { server, .. } => {
                options.insert(DhcpOption::ServerIdentifier(of_v4(server)?));
            }
            Ask::Discover | Ask::Extend { .. } => {}
        }
        let own_id = self.wishes.provide.iter().filter(|(option, _)| *option == 61);
        if is_answered {
            options.insert(DhcpOption::MaxMessageSize(MESSAGE_BYTES_MAX));
            let wanted: Vec<OptionCode> =
                self.wishes.request.iter().map(|option| OptionCode::from(*option)).collect();
            if !wanted.is_empty() {
                options.insert(DhcpOption::ParameterRequestList(wanted));
            }
            provide(options, self.wishes.provide.iter());
        } else {
            // What is given back is named, not described.
            provide(options, own_id);
        }
        options.insert(DhcpOption::MessageType(kind));
        let mut bytes = message.to_vec().ok()?;
        if bytes.len() < MIN_PACKET_SIZE {
            bytes.resize(MIN_PACKET_SIZE, 0);
        }
        Some(bytes)
    }

    /// An answer for this client; anything else is `None`.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Reply> {
        match self.source {
            Some(_) => message6::read(self, bytes),
            None => self.read_v4(bytes),
        }
    }

    fn read_v4(&self, bytes: &[u8]) -> Option<Reply> {
        // The codec asserts on some malformed options.
        let decoded = catch_unwind(|| Message::decode(&mut Decoder::new(bytes)).ok());
        let message = decoded.ok().flatten()?;
        if message.opcode() != Opcode::BootReply || bytes.get(236..240) != Some(&MAGIC[..]) {
            return None;
        }
        // The codec slices by the length of the packet, which may be more than the field holds.
        if usize::from(message.hlen()) != self.mac.len() || message.chaddr() != self.mac {
            return None;
        }
        let Some(DhcpOption::ServerIdentifier(server)) = message.opts().get(OptionCode::ServerIdentifier)
        else {
            return None;
        };
        let kind = match message.opts().msg_type()? {
            MessageType::Offer => Kind::Offer { address: message.yiaddr().into() },
            MessageType::Ack => Kind::Ack(Box::new(Terms::of(&message, *server))),
            MessageType::Nak => Kind::Nak,
            _ => return None,
        };
        Some(Reply { kind, xid: message.xid(), server: Server::V4(*server) })
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn of_v4(server: Server) -> Option<Ipv4Addr> {
    match server {
        Server::V4(address) => Some(address),
        Server::V6(_) => None,
    }
}

fn provide<'a>(options: &mut dhcproto::v4::DhcpOptions, items: impl Iterator<Item = &'a (u8, Vec<u8>)>) {
    for (option, value) in items {
        let code = OptionCode::from(*option);
        options.remove(code);
        options.insert(DhcpOption::Unknown(UnknownOption::new(code, value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER_IP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const SERVER: Server = Server::V4(SERVER_IP);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);
    const ADDRESS: IpAddr = IpAddr::V4(IP);

    fn client() -> Client {
        let wishes =
            Wishes { provide: vec![(12, b"web-0".to_vec())], request: vec![1, 3], ..Wishes::default() };
        Client { id: Client::id_of("cid", "net", "net1"), mac: [2, 0, 0, 0, 0, 1], wishes, source: None }
    }

    fn sent(client: &Client, ask: Ask) -> Message {
        let bytes = client.write(ask, 7, 3).unwrap();
        assert!(bytes.len() >= 300);
        Message::decode(&mut Decoder::new(&bytes)).unwrap()
    }

    fn answer(kind: MessageType, mac: [u8; 6]) -> Vec<u8> {
        let mut message = Message::new_with_id(7, [0; 4].into(), IP, [0; 4].into(), [0; 4].into(), &mac);
        message.set_opcode(Opcode::BootReply);
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(SERVER_IP));
        options.insert(DhcpOption::SubnetMask([255, 255, 255, 0].into()));
        options.insert(DhcpOption::AddressLeaseTime(120));
        message.to_vec().unwrap()
    }

    #[test]
    fn each_message_has_the_fields_that_rfc_2131_table_5_wants() {
        let client = client();
        let select = Ask::Select { address: ADDRESS, server: SERVER };
        for (ask, kind, used, wanted, has_server, is_broadcast) in [
            (Ask::Discover, MessageType::Discover, false, false, false, true),
            (select, MessageType::Request, false, true, true, true),
            (Ask::Reboot { address: ADDRESS }, MessageType::Request, false, true, false, true),
            (Ask::Extend { address: ADDRESS, server: None }, MessageType::Request, true, false, false, false),
            (
                Ask::Release { address: ADDRESS, server: SERVER },
                MessageType::Release,
                true,
                false,
                true,
                false,
            ),
            (
                Ask::Decline { address: ADDRESS, server: SERVER },
                MessageType::Decline,
                false,
                true,
                true,
                false,
            ),
        ] {
            let message = sent(&client, ask);
            let has = |code| message.opts().get(code).is_some();
            assert_eq!(message.opts().msg_type(), Some(kind), "{ask:?}");
            assert_eq!(message.ciaddr() == IP, used, "{ask:?}");
            assert_eq!(has(OptionCode::RequestedIpAddress), wanted, "{ask:?}");
            assert_eq!(has(OptionCode::ServerIdentifier), has_server, "{ask:?}");
            assert_eq!(message.flags().broadcast(), is_broadcast, "{ask:?}");
            let is_given_back = matches!(kind, MessageType::Release | MessageType::Decline);
            assert_eq!(has(OptionCode::Hostname), !is_given_back, "{ask:?}");
            let id = DhcpOption::ClientIdentifier(b"\0cid/net/net1".to_vec());
            assert_eq!(message.opts().get(OptionCode::ClientIdentifier), Some(&id));
            assert_eq!((message.xid(), message.secs(), message.chaddr()), (7, 3, &client.mac[..]));
        }
    }

    #[test]
    fn a_client_identifier_that_the_config_provides_is_used_in_every_message() {
        let mut client = client();
        client.wishes.provide.push((61, b"own".to_vec()));
        for ask in [Ask::Discover, Ask::Release { address: ADDRESS, server: SERVER }] {
            let id = DhcpOption::ClientIdentifier(b"own".to_vec());
            assert_eq!(sent(&client, ask).opts().get(OptionCode::ClientIdentifier), Some(&id));
        }
        assert_eq!(Client::id_of(&"ü".repeat(200), "n", "i").len(), 254);
    }

    #[test]
    fn answers_are_read_if_they_are_for_this_client() {
        let client = client();
        let read = |kind| client.read(&answer(kind, client.mac));
        assert_eq!(read(MessageType::Offer).unwrap().kind, Kind::Offer { address: ADDRESS });
        assert_eq!(read(MessageType::Nak).unwrap().kind, Kind::Nak);
        let Kind::Ack(terms) = read(MessageType::Ack).unwrap().kind else { unreachable!() };
        assert_eq!(terms.unwrap().lease_s, Some(120));
        assert_eq!(read(MessageType::Inform), None);
        assert_eq!(client.read(&answer(MessageType::Ack, [2, 0, 0, 0, 0, 9])), None);
        assert_eq!(client.read(&client.write(Ask::Discover, 7, 0).unwrap()), None, "a question");
        let mut too_long = answer(MessageType::Ack, client.mac);
        too_long[2] = 17;
        assert_eq!(client.read(&too_long), None, "an address longer than its field");
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_taken_without_panic(at in 0..320_usize, byte: u8, cut in 0..320_usize) {
            let mut bytes = answer(MessageType::Ack, client().mac);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut.max(1));
            let _reply = client().read(&bytes);
        }
    }
}
