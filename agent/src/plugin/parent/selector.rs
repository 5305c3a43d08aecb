//! `"plexus": {"parent": {…}}`: the parent by what it is instead of by its name, which differs from node to node.

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code, json};
use serde_json::Value;

use crate::instance::is_eni;
use crate::plugin::call::parse_mac;
use crate::sysfs::PciAddress;

/// The option's name, beneath `plexus`.
pub(in crate::plugin) const KEY: &str = "parent";

/// What a link of the host is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    /// Its hardware address, the built-in one first.
    Mac([u8; 6]),
    /// The PCI function that it belongs to.
    Pci(PciAddress),
    /// The elastic network interface of an EC2 instance.
    Eni(String),
    /// Where the interface is attached to an EC2 instance.
    DeviceIndex(u32),
}

impl Selector {
    /// The selector of a config, if it has one.
    pub(super) fn of(config: &PluginConfig) -> Result<Option<Self>, CniError> {
        let plugin = config.plugin_type();
        let Some(options) = json::object(&config.0, "plexus", plugin)? else { return Ok(None) };
        let Some(value) = options.get(KEY) else { return Ok(None) };
        let wrong = |why: &str| {
            CniError::new(Code::InvalidConfig, format!("{plugin}: key \"plexus.parent\" is {value}"))
                .because(why.to_owned())
        };
        let mut keys = value.as_object().into_iter().flatten();
        let (Some((key, named)), None) = (keys.next(), keys.next()) else {
            return Err(wrong("it must be an object with one of the keys eni, mac, pci, deviceIndex"));
        };
        Self::read(key, named).map(Some).map_err(|why| wrong(&why))
    }

    fn read(key: &str, named: &Value) -> Result<Self, String> {
        let text = || named.as_str().ok_or_else(|| format!("{key} must be a text"));
        match key {
            "mac" => parse_mac(text()?).map(Self::Mac).map_err(|error| error.to_string()),
            "pci" => text()?.parse().map(Self::Pci).map_err(|_| {
                "pci must be an address such as 0000:00:06.0, as `ls /sys/bus/pci/devices` shows it".into()
            }),
            "eni" => Some(text()?).filter(|name| is_eni(name)).map_or_else(
                || Err("eni must be eni- and hexadecimal digits".into()),
                |name| Ok(Self::Eni(name.to_owned())),
            ),
            "deviceIndex" => {
                let index = named.as_u64().and_then(|index| index.try_into().ok());
                index.map(Self::DeviceIndex).ok_or_else(|| "deviceIndex must be a number from 0 on".into())
            }
            _ => Err(format!("{key} is none of the keys eni, mac, pci, deviceIndex")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(parent: &Value) -> Result<Option<Selector>, CniError> {
        let config = json!({"type": "macvlan", "plexus": {"parent": parent}});
        Selector::of(&PluginConfig(config.as_object().cloned().unwrap()))
    }

    #[test]
    fn a_parent_is_selected_by_one_property() {
        for (parent, expected) in [
            (json!({"mac": "02:00:00:00:00:01"}), Selector::Mac([2, 0, 0, 0, 0, 1])),
            (json!({"pci": "0000:00:06.0"}), Selector::Pci("0000:00:06.0".parse().unwrap())),
            (json!({"eni": "eni-0a1b"}), Selector::Eni("eni-0a1b".into())),
            (json!({"deviceIndex": 2}), Selector::DeviceIndex(2)),
        ] {
            assert_eq!(of(&parent).unwrap(), Some(expected), "{parent}");
        }
        let plain = json!({"type": "macvlan", "plexus": {"exec": false}}).as_object().cloned().unwrap();
        assert_eq!(Selector::of(&PluginConfig(plain)).unwrap(), None);
    }

    #[test]
    fn what_selects_nothing_or_too_much_is_refused() {
        for parent in [
            json!({}),
            json!("eth1"),
            json!({"mac": "02:00:00:00:00:01", "deviceIndex": 1}),
            json!({"mac": "02:00"}),
            json!({"pci": "06.0"}),
            json!({"pci": "0000:00:06.0/../.."}),
            json!({"eni": "eth0"}),
            json!({"deviceIndex": -1}),
            json!({"deviceIndex": "1"}),
            json!({"name": "eth0"}),
        ] {
            let error = of(&parent).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.msg.contains("plexus.parent"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(key in "mac|pci|eni|deviceIndex|x", text in "\\PC{0,40}") {
            prop_assert!(Selector::read(&key, &json!(text)).is_ok() || !text.contains('\0'));
        }
    }
}
