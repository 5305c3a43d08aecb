//! IPv4 and IPv6: what a client knows of its server by either.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Longest identifier of a server in bytes: a type of two, and 128 (RFC 8415, 11.1).
const DUID_BYTES_MAX: usize = 130;

/// Which kind of address is leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// By DHCP (RFC 2131).
    #[default]
    Ipv4,
    /// By DHCPv6 (RFC 8415).
    Ipv6,
}

/// A server as its messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Server {
    V4(Ipv4Addr),
    V6(Duid),
}

/// A DHCP unique identifier; in files it is hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Duid {
    length: usize,
    bytes: [u8; DUID_BYTES_MAX],
}

impl Duid {
    /// `None` for one that is empty or too long.
    pub(super) fn new(given: &[u8]) -> Option<Self> {
        let mut bytes = [0; DUID_BYTES_MAX];
        bytes.get_mut(..given.len())?.copy_from_slice(given);
        (!given.is_empty()).then_some(Self { length: given.len(), bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl From<Duid> for String {
    fn from(duid: Duid) -> Self {
        let digits: Vec<Self> = duid.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    }
}

impl TryFrom<String> for Duid {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let bytes = digits.filter(|digits| digits.len() % 2 == 0).map(|digits| {
            let byte = |pair: &[u32]| {
                pair.iter().fold(0, |byte, digit| byte << 4 | u8::try_from(*digit).unwrap_or(0))
            };
            digits.chunks(2).map(byte).collect::<Vec<u8>>()
        });
        bytes.and_then(|bytes| Self::new(&bytes)).ok_or("it is no DUID")
    }
}

impl fmt::Debug for Duid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from(*self))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(formatter),
            Self::V6(duid) => write!(formatter, "with DUID {duid:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_as_it_was_written() {
        let duid = Duid::new(&[0, 1, 0xfe]).unwrap();
        for (server, text) in
            [(Server::V4([10, 1, 0, 1].into()), "\"10.1.0.1\""), (Server::V6(duid), "\"0001fe\"")]
        {
            assert_eq!(serde_json::to_string(&server).unwrap(), text);
            assert_eq!(serde_json::from_str::<Server>(text).unwrap(), server);
        }
        for wrong in ["", "0", "0g", &"00".repeat(131)] {
            assert!(Duid::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
