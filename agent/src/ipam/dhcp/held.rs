//! A lease as its file has it: enough to renew and to release it without the pod's config.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::config::Wishes;
use super::family::Family;
use super::machine::Lease;
use super::message::Client;
use super::terms::Terms;
use crate::record::NetnsId;
use crate::sandbox::Packets;

/// The format of a lease file; another one is refused.
pub(super) const HELD_VERSION: u32 = 1;

/// Which attachment a lease belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The container.
    pub container_id: String,
    /// The CNI network's name.
    pub network: String,
    /// The interface inside the container.
    pub ifname: String,
    /// The kind of address: an interface may have a lease of each.
    #[serde(default)]
    pub family: Family,
}

/// One lease, or one that is being asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Held {
    /// [`HELD_VERSION`]
    pub(super) version: u32,
    /// The boot whose clock its times are of.
    pub(super) boot_id: String,
    pub(super) key: Key,
    /// The container's namespace.
    pub(super) netns: NetnsId,
    /// Index of the interface in it.
    pub(super) link: u32,
    /// The interface's hardware address.
    pub(super) mac: [u8; 6],
    pub(super) wishes: Wishes,
    /// The interface's link-local address, for a lease of DHCPv6.
    #[serde(default)]
    pub(super) source: Option<Ipv6Addr>,
    /// The host's link that leads to the server, for a container that is gone.
    pub(super) uplink: Option<String>,
    /// The station that answered last: the server, or the relay before it.
    pub(super) station: [u8; 6],
    /// What was given, or is about to be.
    pub(super) lease: Option<Lease>,
    /// What the interface has of it.
    pub(super) applied: Option<Terms>,
    /// What the container's record says of it.
    pub(super) told: Option<Terms>,
}

impl Held {
    /// Who asks.
    pub(super) fn client(&self) -> Client {
        let id = Client::id_of(&self.key.container_id, &self.key.network, &self.key.ifname);
        Client { id, mac: self.mac, wishes: self.wishes.clone(), source: self.source }
    }

    /// What its socket has to receive.
    pub(super) fn packets(&self) -> Packets {
        match self.source {
            Some(_) => Packets::Dhcp6,
            None => Packets::Dhcp,
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests(key: Key) -> Self {
        Self {
            version: HELD_VERSION,
            boot_id: "boot".into(),
            key,
            netns: NetnsId { path: "/run/netns/a".into(), device: 1, inode: 2, is_visible: true },
            link: 7,
            mac: [2, 0, 0, 0, 0, 1],
            wishes: Wishes::default(),
            source: None,
            uplink: None,
            station: [0xff; 6],
            lease: None,
            applied: None,
            told: None,
        }
    }
}
