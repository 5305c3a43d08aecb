//! Durable state: one JSON file per container, written before anything is touched.
//!
//! What a record says is enough to undo everything without the API server, the config or the network namespace:
//! names and indexes of all that an attachment may have created follow from it.

mod identity;
mod networks;
mod ports;
mod store;
mod sync;
mod tables;

use std::collections::BTreeMap;
use std::net::IpAddr;

use plexus_cni::devices::Device;
use plexus_cni::json::Object;
use plexus_cni::{CniError, CniResult, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::datapath::{Forwarding, XdpChoice};

pub use identity::{NetnsId, boot_id};
pub use networks::{NetworkKey, NetworkPool};
pub use ports::PortPool;
pub use store::RecordStore;
pub use tables::TablePool;

/// The format of a record file; another one is refused.
pub const RECORD_VERSION: u32 = 1;

/// Everything that hangs on one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`RECORD_VERSION`]
    pub version: u32,
    /// The boot in which it was written: links and maps of another boot are gone.
    pub boot_id: String,
    /// The container (pod sandbox).
    pub container_id: String,
    /// Its network namespace.
    pub netns: Option<NetnsId>,
    /// Its pod, when the runtime named one.
    pub pod: Option<PodRef>,
    /// In the order in which they were attached.
    pub attachments: Vec<Attachment>,
}

impl Record {
    /// The port with this id, whichever attachment made it.
    pub fn port(&self, id: u32) -> Option<&PortRecord> {
        self.attachments.iter().filter_map(|attachment| attachment.port.as_ref()).find(|port| port.id == id)
    }

    /// Stores a port that a plugin made or changed: with the attachment that made it, else with `attachment`.
    pub fn set_port(&mut self, attachment: usize, port: PortRecord) {
        let maker = self
            .attachments
            .iter()
            .position(|other| other.port.as_ref().is_some_and(|known| known.id == port.id));
        if let Some(attachment) = self.attachments.get_mut(maker.unwrap_or(attachment)) {
            attachment.port = Some(port);
        }
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, if known.
    pub uid: Option<String>,
}

/// Who asked for an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Owner {
    /// The meta-plugin, called for this interface name of the runtime.
    Meta {
        /// `CNI_IFNAME` of that call.
        ifname: String,
    },
    /// A call for this one plugin.
    Single {
        /// Its type.
        plugin_type: String,
    },
}

/// One network of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Who asked for it, and will ask for its end.
    pub owner: Owner,
    /// The CNI network's name.
    pub network: String,
    /// The NetworkAttachmentDefinition, `namespace/name`.
    pub nad: Option<String>,
    /// The interface inside the container.
    pub ifname: String,
    /// It is the pod's default network.
    pub is_default: bool,
    /// The config as it was at ADD, a conf or a conflist (C138).
    pub config: Object,
    /// The version in which plugins of this network speak.
    pub cni_version: String,
    /// What the runtime and the selection element asked for.
    pub runtime_config: Object,
    /// What of `runtime_config` follows its source.
    #[serde(default, skip_serializing_if = "Source::is_default")]
    pub source: Source,
    /// `CNI_ARGS` for the plugins.
    pub args: String,
    /// Directories for foreign plugins.
    pub path: Vec<String>,
    /// The port id reserved for the interface, which also fixes its ifindex; absent for a chained plugin on an
    /// interface that is not ours.
    pub port_id: Option<u32>,
    /// The port id was reserved by this attachment, not by the one that it is chained to.
    pub owns_port: bool,
    /// Written after the last step: the result of the whole chain.
    pub result: Option<Value>,
    /// The port, once the data plane has one.
    pub port: Option<PortRecord>,
    /// Its device, and what is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceRecord>,
    /// What its plugins wrote down.
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    pub notes: Notes,
    /// Its elements of network-status, for an attachment of the meta-plugin.
    pub status: Vec<Value>,
}

impl Attachment {
    /// Whether `other` is the same attachment of the same container, whatever state either is in.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.owner, &self.network, &self.ifname) == (&other.owner, &other.network, &other.ifname)
    }

    /// Whether every step of its ADD was done.
    pub fn is_complete(&self) -> bool {
        self.result.is_some()
    }

    /// The port id that it reserved itself, and gives back at its end; a chained plugin only shares one.
    pub fn own_port_id(&self) -> Option<u32> {
        self.port_id.filter(|_| self.owns_port)
    }

    /// The result of its ADD.
    pub fn cni_result(&self) -> Result<Option<CniResult>, CniError> {
        self.result.as_ref().map(|value| CniResult::from_value(value, "recorded result")).transpose()
    }

    /// The version in which its plugins speak.
    pub fn cni_version(&self) -> Version {
        Version::ALL
            .into_iter()
            .find(|version| version.as_str() == self.cni_version)
            .unwrap_or(Version::NEWEST)
    }
}

/// Where limits come from, so that a change there is understood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its element's place in the annotation that selected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<usize>,
    /// The runtime's limits, where they were not those of the pod's annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_limits: Option<Value>,
}

impl Source {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What an attachment's plugins wrote down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// What was there before, by `<position in the chain>:<plugin type>`.
    #[serde(default)]
    pub saved: BTreeMap<String, Value>,
    /// What the interface does not get, in sentences.
    #[serde(default)]
    pub lacks: Vec<String>,
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.saved.is_empty() && self.lacks.is_empty()
    }
}

/// The device of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRecord {
    /// The device, where the network needs one; without, a plugin may still make one and describe it.
    pub device: Option<Device>,
    /// The name of the file that describes it.
    pub info_file: String,
}

/// Where the programs of a port sit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PortKind {
    /// A member of a fastpath network; programs on the host's end of the veth.
    Fastpath {
        /// The data plane's number of the network.
        network_id: u32,
        /// VLAN on the uplink, 0 for untagged.
        vlan: u16,
        /// The uplink's name.
        uplink: Option<String>,
        /// Whether XDP on the uplink delivers to pods.
        xdp: XdpChoice,
        /// Learning, and a second VLAN.
        #[serde(default)]
        forwarding: Forwarding,
        /// The pair of links to the pod.
        #[serde(default)]
        link: PortLink,
    },
    /// Count and police on the host's end of a veth.
    HostTap,
    /// Count and police on the device inside the pod.
    PodTap,
}

/// The pair of links between a fastpath pod and the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortLink {
    /// What the pair is made of.
    pub kind: LinkKind,
    /// Why that, for people; empty in records of older releases.
    pub why: String,
}

/// A kind of pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkKind {
    /// Programs at the host's end.
    #[default]
    Veth,
    /// Programs where the pod sends.
    Netkit,
}

/// A port of the data plane, as it must be built again when the maps are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortRecord {
    /// Port id.
    pub id: u32,
    /// Where its programs sit.
    pub kind: PortKind,
    /// Index of the device that carries the programs.
    pub ifindex: u32,
    /// The pod's hardware address.
    pub mac: [u8; 6],
    /// The pod's addresses.
    pub ips: Vec<IpAddr>,
    /// Drop frames with another source hardware address.
    pub guard_mac: bool,
    /// Drop packets with another source address.
    pub guard_ip: bool,
    /// Limit toward the pod.
    pub ingress: Option<Rate>,
    /// Limit from the pod.
    pub egress: Option<Rate>,
    /// How that is kept; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shaping: Option<Shaping>,
}

impl PortRecord {
    /// Whether what the pod sends above its limit waits, instead of being dropped.
    pub fn is_shaped(&self) -> bool {
        self.shaping.as_ref().is_some_and(|shaping| shaping.is_shaped)
    }

    /// Whether it waits at the pod's end of a veth, before the port's own device on the host.
    pub fn is_shaped_before(&self) -> bool {
        self.is_shaped() && self.kind != PortKind::PodTap
    }

    /// What the policer of the port's own device lets through. Behind a shaper it has more burst than ever waits there, so that
    /// it drops nothing that leaves late, and still holds a pod to the rate that takes its fq away.
    pub fn egress_policer(&self) -> Option<Rate> {
        self.egress.map(|rate| {
            let slack_bits =
                if self.is_shaped_before() { (rate.rate_bps / 4).max(SHAPED_SLACK_BITS) } else { 0 };
            Rate { burst_bits: rate.burst_bits.saturating_add(slack_bits), ..rate }
        })
    }
}

/// What may wait in a slow shaper, 64 full frames (`plexus_ebpf::pure::edt`), and some more.
const SHAPED_SLACK_BITS: u64 = 80 * 1514 * 8;

/// How the limit of what a pod sends is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shaping {
    /// It waits in fq on the device; otherwise it is policed.
    pub is_shaped: bool,
    /// Why so, for people.
    pub why: String,
}

/// A bandwidth limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Bits per second.
    pub rate_bps: u64,
    /// Bits that may pass at once.
    pub burst_bits: u64,
}
