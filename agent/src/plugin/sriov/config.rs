//! Config as of the reference plugin (k8snetworkplumbingwg/sriov-cni), checked before anything is touched.

use plexus_cni::config::PluginConfig;
use plexus_cni::json;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

use crate::netlink::{VfLinkState, VfRates, VfState, VfVlan, VlanProtocol};
use crate::sysfs::PciAddress;

/// VLAN ids; 0 for none.
const VLAN_ID_MAX: i64 = 4094;
/// 802.1p priorities.
const QOS_MAX: i64 = 7;
/// Bytes of an MTU; the driver has limits of its own.
const MTU: std::ops::RangeInclusive<i64> = 68..=65_535;

#[derive(Deserialize)]
struct Keys {
    #[serde(default, rename = "deviceID")]
    device_id: String,
    vlan: Option<i64>,
    #[serde(rename = "vlanQoS")]
    vlan_qos: Option<i64>,
    #[serde(rename = "vlanProto")]
    vlan_proto: Option<String>,
    mtu: Option<i64>,
    min_tx_rate: Option<i64>,
    max_tx_rate: Option<i64>,
    #[serde(default)]
    spoofchk: String,
    #[serde(default)]
    trust: String,
    #[serde(default)]
    link_state: String,
    #[serde(default)]
    dns: Dns,
}

/// The config, checked. What is absent stays as the device has it, but for the VLAN: none is untagged.
#[derive(Debug)]
pub(super) struct Config {
    /// The virtual function; lint knows configs without one.
    pub(super) device: Option<PciAddress>,
    pub(super) vlan: VfVlan,
    pub(super) mtu: Option<u32>,
    pub(super) min_mbps: Option<u32>,
    pub(super) max_mbps: Option<u32>,
    pub(super) spoof_check: Option<bool>,
    pub(super) trust: Option<bool>,
    pub(super) link_state: Option<VfLinkState>,
    pub(super) dns: Dns,
}

impl Config {
    /// `runtimeConfig.deviceID` goes before `deviceID`.
    pub(super) fn parse(config: &PluginConfig) -> Result<Self, CniError> {
        let keys: Keys = config.typed()?;
        let runtime = json::object(&config.0, "runtimeConfig", "sriov")?;
        let granted =
            runtime.map(|runtime| json::string(runtime, "deviceID", "sriov")).transpose()?.flatten();
        let device = granted.filter(|id| !id.is_empty()).unwrap_or(&keys.device_id);
        let device = Some(device).filter(|id| !id.is_empty()).map(|id| {
            id.parse().map_err(|_| {
                wrong("deviceID", &format!("{id:?}"), "it must be a PCI address such as 0000:03:02.0")
            })
        });
        let rates = (rate("min_tx_rate", keys.min_tx_rate)?, rate("max_tx_rate", keys.max_tx_rate)?);
        if let (Some(min), Some(max)) = rates
            && min > max
            && max != 0
        {
            return Err(wrong(
                "min_tx_rate",
                &min.to_string(),
                &format!("it must not exceed max_tx_rate, {max}"),
            ));
        }
        Ok(Self {
            device: device.transpose()?,
            vlan: keys.vlan()?,
            mtu: number("mtu", keys.mtu.filter(|mtu| *mtu != 0), MTU)?,
            min_mbps: rates.0,
            max_mbps: rates.1,
            spoof_check: switch("spoofchk", &keys.spoofchk)?,
            trust: switch("trust", &keys.trust)?,
            link_state: link_state(&keys.link_state)?,
            dns: keys.dns,
        })
    }

    /// The virtual function, which an ADD cannot do without.
    pub(super) fn device(&self) -> Result<PciAddress, CniError> {
        self.device.ok_or_else(|| {
            CniError::new(Code::InvalidConfig, "sriov: key \"deviceID\" is missing").because(
                "it names the virtual function; annotate the network with k8s.v1.cni.cncf.io/resourceName, and let the pod \
                 request that resource",
            )
        })
    }

    /// What the virtual function is to be like, and is like where the config says nothing.
    pub(super) fn wanted(&self, before: &VfState, mac: Option<[u8; 6]>) -> VfState {
        VfState {
            mac: mac.unwrap_or(before.mac),
            // Of a function without a VLAN the tag's kind means nothing, and drivers report what they like.
            vlan: if self.vlan.id == before.vlan.id && self.vlan.id == 0 { before.vlan } else { self.vlan },
            rates: VfRates {
                min_mbps: self.min_mbps.unwrap_or(before.rates.min_mbps),
                max_mbps: self.max_mbps.unwrap_or(before.rates.max_mbps),
            },
            spoof_check: self.spoof_check.unwrap_or(before.spoof_check),
            trust: self.trust.unwrap_or(before.trust),
            link_state: self.link_state.unwrap_or(before.link_state),
        }
    }
}

impl Keys {
    fn vlan(&self) -> Result<VfVlan, CniError> {
        let id = number("vlan", self.vlan, 0..=VLAN_ID_MAX)?.unwrap_or_default();
        let qos = number("vlanQoS", self.vlan_qos, 0..=QOS_MAX)?.unwrap_or_default();
        let protocol = match self.vlan_proto.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "802.1q") => VlanProtocol::Dot1q,
            Some("802.1ad") => VlanProtocol::Dot1ad,
            Some(other) => {
                return Err(wrong(
                    "vlanProto",
                    &format!("{other:?}"),
                    "it must be \"802.1q\" or \"802.1ad\"",
                ));
            }
        };
        if id == 0 && (qos != 0 || protocol != VlanProtocol::Dot1q) {
            let key = if qos != 0 { "vlanQoS" } else { "vlanProto" };
            return Err(CniError::new(Code::InvalidConfig, format!("sriov: key {key:?} needs a vlan"))
                .because("without key \"vlan\", or with 0, frames have no tag that could carry it"));
        }
        // Both are within their bounds.
        Ok(VfVlan {
            id: id.try_into().unwrap_or_default(),
            qos: qos.try_into().unwrap_or_default(),
            protocol,
        })
    }
}

fn rate(key: &str, value: Option<i64>) -> Result<Option<u32>, CniError> {
    number(key, value, 0..=i64::from(u32::MAX))
}

fn number(
    key: &str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<u32>, CniError> {
    let Some(value) = value else { return Ok(None) };
    let fits = u32::try_from(value).ok().filter(|_| range.contains(&value));
    fits.map(Some).ok_or_else(|| {
        wrong(key, &value.to_string(), &format!("it must be {} to {}", range.start(), range.end()))
    })
}

fn switch(key: &str, value: &str) -> Result<Option<bool>, CniError> {
    match value {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(wrong(key, &format!("{value:?}"), "it must be \"on\" or \"off\"")),
    }
}

fn link_state(value: &str) -> Result<Option<VfLinkState>, CniError> {
    match value {
        "" => Ok(None),
        "auto" => Ok(Some(VfLinkState::Auto)),
        "enable" => Ok(Some(VfLinkState::Enable)),
        "disable" => Ok(Some(VfLinkState::Disable)),
        _ => {
            Err(wrong("link_state", &format!("{value:?}"), "it must be \"auto\", \"enable\" or \"disable\""))
        }
    }
}

fn wrong(key: &str, value: &str, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("sriov: key {key:?} is {value}")).because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: Value) -> Result<Config, CniError> {
        let Value::Object(object) = value else { panic!("{value}") };
        Config::parse(&PluginConfig(object))
    }

    const BEFORE: VfState = VfState {
        mac: [0; 6],
        vlan: VfVlan { id: 0, qos: 0, protocol: VlanProtocol::Dot1q },
        rates: VfRates { min_mbps: 0, max_mbps: 0 },
        spoof_check: true,
        trust: false,
        link_state: VfLinkState::Auto,
    };

    #[test]
    fn all_keys_are_read() {
        let config = parse(json!({
            "deviceID": "0000:03:02.0", "vlan": 100, "vlanQoS": 3, "vlanProto": "802.1AD", "mtu": 1400, "min_tx_rate": 5,
            "max_tx_rate": 10, "spoofchk": "off", "trust": "on", "link_state": "enable", "logLevel": "debug",
            "logFile": "/tmp/x", "dns": {"nameservers": ["10.0.0.1"]},
        }))
        .unwrap();
        let mac = [2, 0, 0, 0, 0, 1];
        let wanted = VfState {
            mac,
            vlan: VfVlan { id: 100, qos: 3, protocol: VlanProtocol::Dot1ad },
            rates: VfRates { min_mbps: 5, max_mbps: 10 },
            spoof_check: false,
            trust: true,
            link_state: VfLinkState::Enable,
        };
        assert_eq!(config.wanted(&BEFORE, Some(mac)), wanted);
        assert_eq!((config.mtu, config.device().unwrap().to_string()), (Some(1400), "0000:03:02.0".into()));
    }

    #[test]
    fn an_empty_config_leaves_the_function_as_it_is_but_untags_it() {
        let config = parse(json!({"vlan": null, "spoofchk": ""})).unwrap();
        assert_eq!(config.wanted(&BEFORE, None), BEFORE);
        let tagged = VfState { vlan: VfVlan { id: 7, ..VfVlan::default() }, ..BEFORE };
        assert_eq!(config.wanted(&tagged, None), BEFORE);
        assert!(config.device().unwrap_err().to_string().contains("resourceName"));
    }

    #[test]
    fn the_device_that_the_runtime_grants_goes_first() {
        let config =
            parse(json!({"deviceID": "0000:03:02.0", "runtimeConfig": {"deviceID": "0000:04:02.0"}}));
        assert_eq!(config.unwrap().device().unwrap().to_string(), "0000:04:02.0");
    }

    #[test]
    fn wrong_values_are_refused_with_their_key() {
        for (config, named) in [
            (json!({"deviceID": "eth0"}), "deviceID"),
            (json!({"vlan": 4095}), "vlan"),
            (json!({"vlan": -1}), "vlan"),
            (json!({"vlan": "100"}), "vlan"),
            (json!({"vlan": 1, "vlanQoS": 8}), "vlanQoS"),
            (json!({"vlanQoS": 1}), "vlanQoS"),
            (json!({"vlan": 0, "vlanProto": "802.1ad"}), "vlanProto"),
            (json!({"vlan": 1, "vlanProto": "802.3"}), "vlanProto"),
            (json!({"min_tx_rate": 2, "max_tx_rate": 1}), "min_tx_rate"),
            (json!({"max_tx_rate": -1}), "max_tx_rate"),
            (json!({"spoofchk": "yes"}), "spoofchk"),
            (json!({"trust": true}), "trust"),
            (json!({"link_state": "up"}), "link_state"),
            (json!({"mtu": 20}), "mtu"),
        ] {
            let error = parse(config).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.to_string().contains(named), "{error}");
        }
    }
}
