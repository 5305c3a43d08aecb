//! Messages to and from a server of DHCPv6: one address (IA_NA) for one client.
//!
//! What a client of IPv4 calls INIT-REBOOT is a Rebind here: unlike Confirm, it brings the lease's times.

use std::net::IpAddr;
use std::panic::catch_unwind;

use dhcproto::v6::{DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, ORO, OptionCode, Status};
use dhcproto::{Decodable as _, Decoder, Encodable as _};

use super::family::{Duid, Server};
use super::message::{Ask, Client, Kind, Reply};
use super::terms::Terms;

/// Type of a DUID that is a UUID (RFC 6355).
const DUID_UUID: [u8; 2] = [0, 4];

/// The message's bytes; `seconds` have passed since the first one of this transaction.
pub(super) fn write(client: &Client, ask: Ask, xid: u32, seconds: u16) -> Option<Vec<u8>> {
    let (kind, address, server) = match ask {
        Ask::Discover => (MessageType::Solicit, None, None),
        Ask::Select { address, server } => (MessageType::Request, Some(address), Some(server)),
        Ask::Reboot { address } | Ask::Extend { address, server: None } => {
            (MessageType::Rebind, Some(address), None)
        }
        Ask::Extend { address, server: Some(server) } => (MessageType::Renew, Some(address), Some(server)),
        Ask::Release { address, server } => (MessageType::Release, Some(address), Some(server)),
        Ask::Decline { address, server } => (MessageType::Decline, Some(address), Some(server)),
    };
    let mut message = Message::new(kind);
    message.set_xid_num(xid);
    let options = message.opts_mut();
    options.insert(DhcpOption::ClientId(duid(&client.id)));
    if let Some(server) = server {
        let Server::V6(duid) = server else { return None };
        options.insert(DhcpOption::ServerId(duid.bytes().to_vec()));
    }
    // In hundredths of a second.
    options.insert(DhcpOption::ElapsedTime(seconds.saturating_mul(100)));
    let mut wanted = DhcpOptions::new();
    if let Some(address) = address {
        let IpAddr::V6(addr) = address else { return None };
        let opts = DhcpOptions::new();
        wanted.insert(DhcpOption::IAAddr(IAAddr { addr, preferred_life: 0, valid_life: 0, opts }));
    }
    options.insert(DhcpOption::IANA(IANA { id: iaid(&client.id), t1: 0, t2: 0, opts: wanted }));
    if !matches!(ask, Ask::Release { .. } | Ask::Decline { .. }) {
        let opts = vec![OptionCode::DomainNameServers, OptionCode::DomainSearchList];
        options.insert(DhcpOption::ORO(ORO { opts }));
    }
    message.to_vec().ok()
}

/// An answer for this client; anything else is `None`.
pub(super) fn read(client: &Client, bytes: &[u8]) -> Option<Reply> {
    // The codec is not trusted with what it was not written for.
    let decoded = catch_unwind(|| Message::decode(&mut Decoder::new(bytes)).ok());
    let message = decoded.ok().flatten()?;
    let options = message.opts();
    let Some(DhcpOption::ClientId(id)) = options.get(OptionCode::ClientId) else { return None };
    let Some(DhcpOption::ServerId(server)) = options.get(OptionCode::ServerId) else { return None };
    if *id != duid(&client.id) {
        return None;
    }
    let server = Server::V6(Duid::new(server)?);
    let given = given(client, &message, server);
    let kind = match message.msg_type() {
        MessageType::Advertise => Kind::Offer { address: given?.ok()?.address.addr() },
        MessageType::Reply => match given? {
            Ok(terms) => Kind::Ack(Box::new(Ok(terms))),
            Err(Refused) => Kind::Nak,
        },
        _ => return None,
    };
    Some(Reply { kind, xid: message.xid_num(), server })
}

/// The server does not give the address, or takes it away.
struct Refused;

/// What is given; `None` where the message does not speak of it.
fn given(client: &Client, message: &Message, server: Server) -> Option<Result<Terms, Refused>> {
    if is_refusal(message.opts()) {
        return Some(Err(Refused));
    }
    let associations = message.opts().get_all(OptionCode::IANA)?.iter();
    let mut associations = associations.filter_map(|option| match option {
        DhcpOption::IANA(association) => Some(association),
        _ => None,
    });
    let association = associations.find(|association| association.id == iaid(&client.id))?;
    if is_refusal(&association.opts) {
        return Some(Err(Refused));
    }
    let addresses = association.opts.get_all(OptionCode::IAAddr)?.iter();
    let mut addresses = addresses.filter_map(|option| match option {
        DhcpOption::IAAddr(address) if !is_refusal(&address.opts) && address.valid_life > 0 => Some(address),
        _ => None,
    });
    let terms = addresses.next().map(|address| Terms::of_v6(message.opts(), association, address, server));
    Some(terms.ok_or(Refused))
}

fn is_refusal(options: &DhcpOptions) -> bool {
    match options.get(OptionCode::StatusCode) {
        Some(DhcpOption::StatusCode(code)) => {
            matches!(code.status, Status::NoAddrsAvail | Status::NoBinding | Status::NotOnLink)
        }
        _ => false,
    }
}

/// Each interface is a client of its own, as with IPv4: the identifier follows from the one of IPv4.
fn duid(id: &str) -> Vec<u8> {
    [&DUID_UUID[..], &hash(id, 0).to_be_bytes(), &hash(id, 1).to_be_bytes()].concat()
}

/// The client's only association.
fn iaid(id: &str) -> u32 {
    let [high, low] = [hash(id, 2) >> 32, hash(id, 2) & 0xffff_ffff];
    u32::try_from(high ^ low).unwrap_or_default()
}

/// FNV-1a, 64 bits, of the text behind a number.
fn hash(text: &str, seed: u8) -> u64 {
    [seed].iter().chain(text.as_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use dhcproto::v6::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::ipam::dhcp::config::Wishes;

    const ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7));

    fn server() -> Server {
        Server::V6(Duid::new(&[0, 3, 9]).unwrap())
    }

    fn client() -> Client {
        let source = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        Client { id: "c/n/net1".into(), mac: [2, 0, 0, 0, 0, 1], wishes: Wishes::default(), source }
    }

    /// As the server answers a request: its identifier beside, an address with these times.
    fn answer(kind: MessageType, valid_life: u32, status: Option<Status>) -> Vec<u8> {
        let asked = client().write(Ask::Discover, 0x0012_3456, 0).unwrap();
        let mut message = Message::decode(&mut Decoder::new(&asked)).unwrap();
        message.set_msg_type(kind);
        let options = message.opts_mut();
        options.insert(DhcpOption::ServerId(vec![0, 3, 9]));
        options.insert(DhcpOption::DomainNameServers(vec!["fd00::53".parse().unwrap()]));
        let Some(DhcpOption::IANA(association)) = options.get_mut(OptionCode::IANA) else { unreachable!() };
        let IpAddr::V6(addr) = ADDRESS else { unreachable!() };
        let address = IAAddr { addr, preferred_life: valid_life / 2, valid_life, opts: DhcpOptions::new() };
        association.opts.insert(DhcpOption::IAAddr(address));
        if let Some(status) = status {
            association.opts.insert(DhcpOption::StatusCode(StatusCode { status, msg: String::new() }));
        }
        message.to_vec().unwrap()
    }

    #[test]
    fn each_message_has_what_rfc_8415_section_18_2_wants() {
        let (address, server) = (ADDRESS, server());
        for (ask, kind, has_server, has_address) in [
            (Ask::Discover, MessageType::Solicit, false, false),
            (Ask::Select { address, server }, MessageType::Request, true, true),
            (Ask::Reboot { address }, MessageType::Rebind, false, true),
            (Ask::Extend { address, server: Some(server) }, MessageType::Renew, true, true),
            (Ask::Extend { address, server: None }, MessageType::Rebind, false, true),
            (Ask::Release { address, server }, MessageType::Release, true, true),
            (Ask::Decline { address, server }, MessageType::Decline, true, true),
        ] {
            let bytes = client().write(ask, 0x0012_3456, 3).unwrap();
            let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
            let options = message.opts();
            assert_eq!((message.msg_type(), message.xid_num()), (kind, 0x0012_3456), "{ask:?}");
            assert_eq!(options.get(OptionCode::ServerId).is_some(), has_server, "{ask:?}");
            assert_eq!(options.get(OptionCode::ElapsedTime), Some(&DhcpOption::ElapsedTime(300)));
            let Some(DhcpOption::IANA(association)) = options.get(OptionCode::IANA) else { unreachable!() };
            assert_eq!(association.opts.get(OptionCode::IAAddr).is_some(), has_address, "{ask:?}");
        }
        assert_eq!(client().write(Ask::Reboot { address: [10, 1, 0, 7].into() }, 1, 0), None);
        assert_eq!(duid("a/n/net1").len(), 18);
        assert_ne!(duid("a/n/net1"), duid("a/n/net2"));
    }

    #[test]
    fn answers_are_read_if_they_are_for_this_client() {
        let read = |bytes: &[u8]| client().read(bytes).map(|reply| reply.kind);
        let offer = client().read(&answer(MessageType::Advertise, 120, None)).unwrap();
        assert_eq!(
            (offer.kind, offer.server, offer.xid),
            (Kind::Offer { address: ADDRESS }, server(), 0x0012_3456)
        );
        let Some(Kind::Ack(terms)) = read(&answer(MessageType::Reply, 120, None)) else { unreachable!() };
        let terms = terms.unwrap();
        assert_eq!(terms.address.to_string(), "fd00::7/128");
        assert_eq!((terms.lease_s, terms.renew_s, terms.rebind_s), (Some(120), 30, 48));
        assert_eq!(terms.name_servers, ["fd00::53".parse::<IpAddr>().unwrap()]);
        for status in [Status::NoBinding, Status::NotOnLink, Status::NoAddrsAvail] {
            assert_eq!(read(&answer(MessageType::Reply, 120, Some(status))), Some(Kind::Nak));
            assert_eq!(read(&answer(MessageType::Advertise, 120, Some(status))), None);
        }
        assert_eq!(read(&answer(MessageType::Reply, 0, None)), Some(Kind::Nak), "it is taken away");
        assert_eq!(read(&answer(MessageType::Solicit, 120, None)), None);
        let other = Client { id: "c/n/net2".into(), ..client() };
        assert_eq!(other.read(&answer(MessageType::Reply, 120, None)), None);
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_taken_without_panic(at in 0..160_usize, byte: u8, cut in 0..160_usize) {
            let mut bytes = answer(MessageType::Reply, 120, None);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut.max(1));
            let _reply = client().read(&bytes);
        }
    }
}
