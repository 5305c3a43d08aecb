//! The keys of a bridge network, checked.

use std::collections::BTreeSet;

use plexus_cni::config::PluginConfig;
use plexus_cni::json;
use plexus_cni::name::check_ifname;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

use crate::plugin::PluginCall;
use crate::plugin::masquerade::check_backend;

/// Name of the bridge where the config has none.
const BRIDGE_DEFAULT: &str = "cni0";
/// The highest VLAN id that 802.1Q lets a network use.
const VLAN_MAX: i64 = 4094;
/// The largest MTU of a veth, in bytes (ETH_MAX_MTU).
const MTU_MAX: u32 = 65_535;

/// The keys of [`Keys`], and `mac`.
pub(super) const KEYS: &[&str] = &[
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "portIsolation",
    "enabledad",
    "disableContainerInterface",
    "mac",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "these are the reference plugin's keys")]
struct Keys {
    #[serde(default)]
    bridge: String,
    #[serde(default)]
    is_gateway: bool,
    #[serde(default)]
    is_default_gateway: bool,
    #[serde(default)]
    force_address: bool,
    #[serde(default)]
    ip_masq: bool,
    #[serde(default)]
    ip_masq_backend: String,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    hairpin_mode: bool,
    #[serde(default)]
    promisc_mode: bool,
    #[serde(default)]
    vlan: i64,
    vlan_trunk: Option<Vec<Trunk>>,
    preserve_default_vlan: Option<bool>,
    #[serde(default)]
    macspoofchk: bool,
    #[serde(default)]
    port_isolation: bool,
    #[serde(default)]
    enabledad: bool,
    #[serde(default)]
    disable_container_interface: bool,
    #[serde(default)]
    dns: Dns,
}

#[derive(Deserialize)]
struct Trunk {
    #[serde(rename = "minID")]
    min_id: Option<i64>,
    #[serde(rename = "maxID")]
    max_id: Option<i64>,
    id: Option<i64>,
}

/// What a bridge network asks for.
#[derive(Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one key of the reference plugin")]
pub(super) struct Config {
    /// Name of the bridge.
    pub(super) bridge: String,
    /// The bridge has the gateway's address; `isDefaultGateway` implies it.
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    /// Another address of the bridge gives way to the gateway's.
    pub(super) force_address: bool,
    pub(super) ip_masq: bool,
    /// In bytes; `None` keeps the kernel's default.
    pub(super) mtu: Option<u32>,
    pub(super) hairpin_mode: bool,
    pub(super) promisc_mode: bool,
    /// Which VLANs the port carries.
    pub(super) vlans: Vlans,
    /// The port stays in the bridge's default VLAN beside its own.
    pub(super) preserve_default_vlan: bool,
    pub(super) macspoofchk: bool,
    pub(super) port_isolation: bool,
    pub(super) enabledad: bool,
    pub(super) disable_container_interface: bool,
    pub(super) dns: Dns,
    pub(super) mac: Option<[u8; 6]>,
}

/// VLANs of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vlans {
    /// The bridge does not look at tags.
    Unaware,
    /// Untagged frames belong to this one.
    Access(u16),
    /// These, tagged.
    Trunk(Vec<u16>),
}

impl Config {
    /// Reads and checks the keys; the error names the key.
    pub(super) fn of(call: &PluginCall<'_>) -> Result<Self, CniError> {
        Self::read(call.config, call.requested_mac()?)
    }

    /// As [`Config::of`], without a call.
    pub(super) fn read(config: &PluginConfig, mac: Option<[u8; 6]>) -> Result<Self, CniError> {
        Self::checked(config.typed()?, mac, config.ipam_type().is_some())
    }

    fn checked(keys: Keys, mac: Option<[u8; 6]>, has_ipam: bool) -> Result<Self, CniError> {
        let bridge = if keys.bridge.is_empty() { BRIDGE_DEFAULT.to_owned() } else { keys.bridge };
        check_ifname(&bridge, "bridge: key \"bridge\"")
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        let vlans = vlans(keys.vlan, keys.vlan_trunk.as_deref())?;
        check_backend("bridge", &keys.ip_masq_backend)?;
        if keys.mtu > MTU_MAX {
            return Err(wrong("mtu", &keys.mtu.to_string(), &format!("it must be 0 to {MTU_MAX}")));
        }
        if keys.hairpin_mode && keys.promisc_mode {
            return Err(wrong(
                "hairpinMode",
                "true",
                "promiscMode is true as well, and they exclude each other",
            ));
        }
        if keys.disable_container_interface && has_ipam {
            return Err(wrong(
                "disableContainerInterface",
                "true",
                "an interface that stays down cannot use ipam",
            ));
        }
        let config = Self {
            bridge,
            is_gateway: keys.is_gateway || keys.is_default_gateway,
            is_default_gateway: keys.is_default_gateway,
            force_address: keys.force_address,
            ip_masq: keys.ip_masq,
            mtu: Some(keys.mtu).filter(|mtu| *mtu != 0),
            hairpin_mode: keys.hairpin_mode,
            promisc_mode: keys.promisc_mode,
            vlans,
            preserve_default_vlan: keys.preserve_default_vlan.unwrap_or(true),
            macspoofchk: keys.macspoofchk,
            port_isolation: keys.port_isolation,
            enabledad: keys.enabledad,
            disable_container_interface: keys.disable_container_interface,
            dns: keys.dns,
            mac,
        };
        if let (Some(name), true) = (config.vlan_interface(), config.is_gateway) {
            check_ifname(&name, "bridge: the VLAN's gateway interface")
                .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        }
        Ok(config)
    }

    /// Name of the host's interface in the access VLAN, which carries the gateway's address: `cni0.100`.
    pub(super) fn vlan_interface(&self) -> Option<String> {
        match self.vlans {
            Vlans::Access(vlan) => Some(format!("{}.{vlan}", self.bridge)),
            Vlans::Unaware | Vlans::Trunk(_) => None,
        }
    }
}

/// The bridge's name, read without the rest: DEL works with a config that has become invalid since.
pub(super) fn bridge_name(call: &PluginCall<'_>) -> Result<String, CniError> {
    let name = json::string(&call.config.0, "bridge", "bridge")?.filter(|name| !name.is_empty());
    Ok(name.unwrap_or(BRIDGE_DEFAULT).to_owned())
}

#[cfg(test)]
impl Config {
    /// The defaults, for tests of other files.
    pub(super) fn for_tests() -> Self {
        let keys = serde_json::from_str("{}").unwrap();
        Self::checked(keys, None, true).unwrap()
    }
}

fn vlans(access: i64, trunk: Option<&[Trunk]>) -> Result<Vlans, CniError> {
    let tagged = trunk.map(trunk_vlans).transpose()?;
    match (access, tagged) {
        (0, None) => Ok(Vlans::Unaware),
        (0, Some(vlans)) => Ok(Vlans::Trunk(vlans)),
        (vlan, None) => Ok(Vlans::Access(vlan_id("vlan", vlan)?)),
        (vlan, Some(_)) => {
            Err(wrong("vlan", &vlan.to_string(), "vlanTrunk is given as well; a port is one or the other"))
        }
    }
}

fn trunk_vlans(items: &[Trunk]) -> Result<Vec<u16>, CniError> {
    let mut vlans = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let key = |name: &str| format!("vlanTrunk[{at}].{name}");
        match (item.min_id, item.max_id) {
            (None, None) => {}
            (Some(min), Some(max)) => {
                let (min, max) = (vlan_id(&key("minID"), min)?, vlan_id(&key("maxID"), max)?);
                if min > max {
                    return Err(wrong(&key("minID"), &min.to_string(), &format!("maxID {max} is smaller")));
                }
                vlans.extend(min..=max);
            }
            (Some(_), None) => return Err(wrong(&key("maxID"), "missing", "minID is given; give both")),
            (None, Some(_)) => return Err(wrong(&key("minID"), "missing", "maxID is given; give both")),
        }
        vlans.extend(item.id.map(|id| vlan_id(&key("id"), id)).transpose()?);
    }
    Ok(vlans.into_iter().collect())
}

fn vlan_id(key: &str, id: i64) -> Result<u16, CniError> {
    let fits = u16::try_from(id).ok().filter(|_| (1..=VLAN_MAX).contains(&id));
    fits.ok_or_else(|| wrong(key, &id.to_string(), &format!("a VLAN id is 1 to {VLAN_MAX}")))
}

fn wrong(key: &str, value: &str, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("bridge: key {key:?} is {value}")).because(why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value, has_ipam: bool) -> Result<Config, CniError> {
        Config::checked(serde_json::from_value(config).unwrap(), None, has_ipam)
    }

    #[test]
    fn an_empty_config_means_the_defaults() {
        let config = read(json!({}), true).unwrap();
        assert_eq!((&*config.bridge, config.mtu, &config.vlans), ("cni0", None, &Vlans::Unaware));
        assert!(config.preserve_default_vlan && !config.is_gateway && !config.ip_masq && !config.enabledad);
        assert!(read(json!({"isDefaultGateway": true}), true).unwrap().is_gateway);
        assert!(!read(json!({"preserveDefaultVlan": false}), true).unwrap().preserve_default_vlan);
    }

    #[test]
    fn vlans_are_access_or_trunk() {
        assert_eq!(read(json!({"vlan": 100}), true).unwrap().vlan_interface(), Some("cni0.100".into()));
        let trunk = json!({"vlanTrunk": [{"minID": 10, "maxID": 12}, {"id": 11}, {"id": 4094}]});
        assert_eq!(read(trunk, true).unwrap().vlans, Vlans::Trunk(vec![10, 11, 12, 4094]));
    }

    #[test]
    fn an_impossible_key_is_named() {
        for (config, named) in [
            (json!({"vlan": 4095}), "\"vlan\""),
            (json!({"vlan": -1}), "\"vlan\""),
            (json!({"vlan": 1, "vlanTrunk": []}), "\"vlan\""),
            (json!({"vlanTrunk": [{"id": 0}]}), "vlanTrunk[0].id"),
            (json!({"vlanTrunk": [{"id": 1}, {"minID": 5}]}), "vlanTrunk[1].maxID"),
            (json!({"vlanTrunk": [{"maxID": 5}]}), "vlanTrunk[0].minID"),
            (json!({"vlanTrunk": [{"minID": 6, "maxID": 5}]}), "vlanTrunk[0].minID"),
            (json!({"hairpinMode": true, "promiscMode": true}), "hairpinMode"),
            (json!({"disableContainerInterface": true}), "disableContainerInterface"),
            (json!({"ipMasqBackend": "pf"}), "ipMasqBackend"),
            (json!({"mtu": 65536}), "mtu"),
            (json!({"bridge": "../../etc"}), "\"bridge\""),
            (json!({"bridge": "sixteen-bytes-ab"}), "\"bridge\""),
            (json!({"bridge": "twelve-bytes", "vlan": 4000, "isGateway": true}), "gateway interface"),
        ] {
            let error = read(config, true).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.msg.contains(named), "{error}");
        }
    }
}
