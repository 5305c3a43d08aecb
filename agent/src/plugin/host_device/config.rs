//! Config as of the reference plugin (containernetworking/plugins, plugins/main/host-device).

use plexus_cni::config::PluginConfig;
use plexus_cni::json;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

use crate::plugin::call::parse_mac;
use crate::sysfs::{DeviceId, KernelPath};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    #[serde(default)]
    device: String,
    #[serde(default)]
    hwaddr: String,
    #[serde(default)]
    kernelpath: String,
    #[serde(default, rename = "pciBusID")]
    pci_bus_id: String,
    #[serde(default)]
    dns: Dns,
}

/// Which device is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The link of this name.
    Name(String),
    /// The first link with this hardware address.
    Mac([u8; 6]),
    /// The link of the device at this path.
    Path(KernelPath),
    /// The link of this device, if it has one.
    Device(DeviceId),
}

/// The config, checked.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) which: Which,
    pub(super) dns: Dns,
}

impl Config {
    /// `runtimeConfig.deviceID` goes before the four keys, of which one has to be there without it.
    pub(super) fn parse(config: &PluginConfig) -> Result<Self, CniError> {
        let keys: Keys = config.typed()?;
        let dns = keys.dns.clone();
        let runtime = json::object(&config.0, "runtimeConfig", "host-device")?;
        let granted =
            runtime.map(|runtime| json::string(runtime, "deviceID", "host-device")).transpose()?.flatten();
        let which = match granted.filter(|id| !id.is_empty()) {
            Some(id) => device(id, "runtimeConfig.deviceID")?,
            None => keys.which()?,
        };
        Ok(Self { which, dns })
    }
}

impl Keys {
    fn which(self) -> Result<Which, CniError> {
        let given = [
            ("device", &self.device),
            ("hwaddr", &self.hwaddr),
            ("kernelpath", &self.kernelpath),
            ("pciBusID", &self.pci_bus_id),
        ];
        let given: Vec<_> = given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        match given[..] {
            [("device", name)] => Ok(Which::Name(name.clone())),
            [("hwaddr", mac)] => {
                parse_mac(mac).map(Which::Mac).map_err(|error| error.within("host-device: key \"hwaddr\""))
            }
            [("kernelpath", path)] => {
                path.parse().map(Which::Path).map_err(|why: String| wrong("kernelpath", path, &why))
            }
            [(key, id)] => device(id, key),
            [] => Err(CniError::new(Code::InvalidConfig, "host-device: no key says which device is meant")
                .because("give one of \"device\", \"hwaddr\", \"kernelpath\", \"pciBusID\", or runtimeConfig.deviceID")),
            [(one, _), (two, _), ..] => {
                Err(CniError::new(Code::InvalidConfig, format!("host-device: keys {one:?} and {two:?} are both given"))
                    .because("one of them says which device is meant; remove the other"))
            }
        }
    }
}

fn device(id: &str, key: &str) -> Result<Which, CniError> {
    id.parse()
        .map(Which::Device)
        .map_err(|error: crate::sysfs::WrongDeviceId| wrong(key, id, &error.to_string()))
}

fn wrong(key: &str, value: &str, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("host-device: key {key:?} is {value:?}"))
        .because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: Value) -> Result<Which, CniError> {
        let Value::Object(object) = value else { panic!("{value}") };
        Config::parse(&PluginConfig(object)).map(|config| config.which)
    }

    #[test]
    fn one_key_says_which_device_is_meant() {
        for (config, which) in [
            (json!({"device": "eth5", "hwaddr": ""}), Which::Name("eth5".into())),
            (json!({"hwaddr": "02:00:00:00:00:05"}), Which::Mac([2, 0, 0, 0, 0, 5])),
            (
                json!({"kernelpath": "/sys/devices/pci0000:00/0000:00:1f.6"}),
                Which::Path("/sys/devices/pci0000:00/0000:00:1f.6".parse().unwrap()),
            ),
            (json!({"pciBusID": "0000:00:1f.6"}), Which::Device("0000:00:1f.6".parse().unwrap())),
        ] {
            assert_eq!(parse(config).unwrap(), which);
        }
    }

    #[test]
    fn the_device_that_the_runtime_grants_goes_before_the_keys() {
        for id in ["0000:3b:02.1", "mlx5_core.sf.4"] {
            let config = json!({"device": "eth5", "hwaddr": "x", "runtimeConfig": {"deviceID": id}});
            assert_eq!(parse(config).unwrap(), Which::Device(id.parse().unwrap()));
        }
    }

    #[test]
    fn none_two_and_wrong_ones_are_refused_with_the_key() {
        for (config, named) in [
            (json!({}), "pciBusID"),
            (json!({"device": "eth5", "pciBusID": "0000:00:1f.6"}), "pciBusID"),
            (json!({"hwaddr": "02:00"}), "hwaddr"),
            (json!({"kernelpath": "/etc"}), "kernelpath"),
            (json!({"pciBusID": "../.."}), "pciBusID"),
            (json!({"runtimeConfig": {"deviceID": "eth0"}}), "runtimeConfig.deviceID"),
            (json!({"device": 5}), "device"),
        ] {
            let error = parse(config).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.to_string().contains(named), "{error}");
        }
    }
}
