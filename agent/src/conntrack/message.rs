//! Messages of ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h), as far as they are needed.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use nix::errno::Errno;

/// `NFNL_SUBSYS_CTNETLINK << 8`, and `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE` in it.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// `CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT`
const BY_PROTOCOL_AND_PORT: u32 = (1 << 3) | (1 << 5);
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_UDP: u8 = 17;
const NLA_F_NESTED: u16 = 1 << 15;
/// Without the flags of an attribute's type.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// Bytes of `struct nlmsghdr`, and of `struct nfgenmsg` behind it.
const HEADER_BYTES: usize = 16;
const FAMILY_HEADER_BYTES: usize = 4;

/// What the kernel says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One connection.
    Entry(Entry),
    /// The end of a list, or an acknowledgement.
    Done,
    /// A refusal.
    Failed(Errno),
}

/// One connection: the attributes by which the kernel finds it again, as they came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Entry {
    /// Whether it is UDP to this port, before any translation. A kernel that knows no filter lists everything.
    pub(super) fn is_udp_to(&self, port: u16) -> bool {
        let tuple = self.attributes.iter().find(|(kind, _)| *kind == CTA_TUPLE_ORIG);
        let protocol = tuple.and_then(|(_, tuple)| value(tuple, CTA_TUPLE_PROTO));
        let Some(protocol) = protocol else { return false };
        value(protocol, CTA_PROTO_NUM) == Some(&[IPPROTO_UDP][..])
            && value(protocol, CTA_PROTO_DST_PORT) == Some(&port.to_be_bytes()[..])
    }

    /// The request to forget it.
    pub(super) fn deletion(&self, like: IpAddr) -> Vec<u8> {
        let mut payload = Vec::new();
        for (kind, value) in &self.attributes {
            let flag = if *kind == CTA_TUPLE_ORIG { NLA_F_NESTED } else { 0 };
            attribute(&mut payload, kind | flag, value);
        }
        request(DELETE, NLM_F_ACK, like, &payload)
    }
}

/// Asks for UDP connections to a port.
pub(super) fn list_udp(like: IpAddr, port: u16) -> Vec<u8> {
    let (mut protocol, mut tuple, mut filter, mut payload) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    attribute(&mut protocol, CTA_PROTO_NUM, &[IPPROTO_UDP]);
    attribute(&mut protocol, CTA_PROTO_DST_PORT, &port.to_be_bytes());
    attribute(&mut tuple, CTA_TUPLE_PROTO | NLA_F_NESTED, &protocol);
    attribute(&mut filter, CTA_FILTER_ORIG_FLAGS, &BY_PROTOCOL_AND_PORT.to_ne_bytes());
    attribute(&mut filter, CTA_FILTER_REPLY_FLAGS, &0_u32.to_ne_bytes());
    attribute(&mut payload, CTA_TUPLE_ORIG | NLA_F_NESTED, &tuple);
    attribute(&mut payload, CTA_FILTER | NLA_F_NESTED, &filter);
    request(GET, NLM_F_DUMP, like, &payload)
}

/// The answers in one datagram; what cannot be read ends them.
pub(super) fn answers(mut datagram: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(length) = word(datagram, 0).map(|length| length as usize) {
        let Some(message) = datagram.get(..length).filter(|_| length >= HEADER_BYTES) else { break };
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let payload = &message[HEADER_BYTES..];
        match kind {
            NLMSG_DONE => answers.push(Answer::Done),
            NLMSG_ERROR => answers.push(match word(payload, 0).map(u32::cast_signed) {
                Some(0) => Answer::Done,
                Some(code) => Answer::Failed(Errno::from_raw(code.saturating_abs())),
                None => Answer::Failed(Errno::EBADMSG),
            }),
            _ => {
                let attributes = attributes(payload.get(FAMILY_HEADER_BYTES..).unwrap_or_default());
                let kept = attributes.filter(|(kind, _)| matches!(*kind, CTA_TUPLE_ORIG | CTA_ID | CTA_ZONE));
                let attributes = kept.map(|(kind, value)| (kind, value.to_vec())).collect();
                answers.push(Answer::Entry(Entry { attributes }));
            }
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

fn request(kind: u16, flags: u16, like: IpAddr, payload: &[u8]) -> Vec<u8> {
    let family = if like.is_ipv4() { AF_INET } else { AF_INET6 };
    let length = HEADER_BYTES + FAMILY_HEADER_BYTES + payload.len();
    // A payload of ours has some hundred bytes.
    let mut bytes = u32::try_from(length).unwrap_or_default().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // Sequence and port: one request at a time, and the kernel fills in our port.
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn value(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_entry_is_known_by_protocol_and_port_and_deleted_by_its_own_attributes() {
        // What is asked for has the form of what comes.
        let [Answer::Entry(entry)] = &answers(&list_udp(IPV4, 53))[..] else { panic!("one entry") };
        assert!(entry.is_udp_to(53) && !entry.is_udp_to(54));
        let deletion = entry.deletion(IPV4);
        assert_eq!(&deletion[4..6], &DELETE.to_ne_bytes());
        let [Answer::Entry(again)] = &answers(&deletion)[..] else { panic!("one entry") };
        assert_eq!(entry, again);
    }

    proptest::proptest! {
        #[test]
        fn no_datagram_makes_the_reader_panic(bytes: Vec<u8>) {
            answers(&bytes);
            let cut = [list_udp(IPV4, 53), bytes].concat();
            for answer in answers(&cut) {
                if let Answer::Entry(entry) = answer {
                    entry.is_udp_to(53);
                    entry.deletion(IPV4);
                }
            }
        }
    }
}
