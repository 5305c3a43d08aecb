//! Device information: what device plugins and CNI plugins tell of a device, and the files in which they tell it.
//!
//! Source: Network Plumbing Working Group, device-info-spec 1.1.0.

use serde::Serialize;
use serde_json::Value;

use crate::hash::fnv1a;
use crate::json::{self, Object, parse_object};
use crate::limits::{DEVICE_INFO_BYTES_MAX, FILE_NAME_BYTES_MAX};

/// The kinds of device (also the sections of their own keys), in the order in which network-status has them.
const SECTIONS: &[(&str, &[&str])] = &[
    ("pci", &["pci-address", "vhost-net", "rdma-device", "pf-pci-address", "representor-device"]),
    ("vdpa", &["parent-device", "driver", "path", "pci-address", "pf-pci-address", "representor-device"]),
    ("vhost-user", &["mode", "path"]),
    ("memif", &["role", "path", "mode"]),
];

/// What a device is, as network-status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DeviceInfo(Object);

impl DeviceInfo {
    /// Reads a device information file. Keys that the specification does not have are left out.
    ///
    /// The error says which key cannot be used, and why.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > DEVICE_INFO_BYTES_MAX {
            return Err(format!("it has more than {DEVICE_INFO_BYTES_MAX} bytes"));
        }
        let what = "device information";
        let written = parse_object(text, what).map_err(|error| error.to_string())?;
        let mut info = Object::new();
        for key in ["type", "version"] {
            match json::string(&written, key, what).map_err(|error| error.to_string())? {
                Some(value) if !value.is_empty() => drop(info.insert(key.to_owned(), value.into())),
                _ => return Err(format!("key {key:?} is missing")),
            }
        }
        for (section, keys) in SECTIONS {
            let Some(given) = json::object(&written, section, what).map_err(|error| error.to_string())?
            else {
                continue;
            };
            let mut taken = Object::new();
            for key in *keys {
                let value = json::string(given, key, section).map_err(|error| error.to_string())?;
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    taken.insert((*key).to_owned(), value.into());
                }
            }
            info.insert((*section).to_owned(), Value::Object(taken));
        }
        Ok(Self(info))
    }
}

/// The name of the file in which a device plugin describes a device; `None` where no file can have it.
pub fn device_plugin_file(resource: &str, id: &str) -> Option<String> {
    let name = format!("{}-{}-device.json", plain(resource), plain(id));
    (name.len() <= FILE_NAME_BYTES_MAX && !name.contains('\0')).then_some(name)
}

/// The name of the file in which an attachment's device is described to its plugins and by them: as Multus calls it,
/// `<network>-<container>_<interface>`. A network whose name is too long stands in it as a hash.
pub fn attachment_file(network: &str, container_id: &str, ifname: &str) -> String {
    let suffix = format!("-{container_id}_{ifname}");
    let network = plain(network);
    if network.len() + suffix.len() <= FILE_NAME_BYTES_MAX {
        return network + &suffix;
    }
    format!("{:016x}{suffix}", fnv1a(network.as_bytes()))
}

/// A name without what would make it a path.
fn plain(name: &str) -> String {
    name.replace('/', "-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn known_keys_are_taken_in_multus_order_and_others_left_out() {
        let written = json!({
            "pci": {"pf-pci-address": "0000:18:00.0", "x": 1, "pci-address": "0000:18:02.5", "vhost-net": null},
            "version": "1.1.0", "type": "pci", "other": {},
        });
        let info = DeviceInfo::parse(written.to_string().as_bytes()).unwrap();
        let expected = r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5","pf-pci-address":"0000:18:00.0"}}"#;
        assert_eq!(json!(info).to_string(), expected);
    }

    #[test]
    fn what_is_no_device_information_is_refused_with_the_key() {
        for (wrong, part) in [
            (json!([]), "object"),
            (json!({"version": "1.1.0"}), "type"),
            (json!({"type": "pci"}), "version"),
            (json!({"type": 1, "version": "1.1.0"}), "type"),
            (json!({"type": "pci", "version": "1.1.0", "pci": []}), "pci"),
            (json!({"type": "memif", "version": "1.1.0", "memif": {"path": 1}}), "path"),
        ] {
            let error = DeviceInfo::parse(wrong.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert!(DeviceInfo::parse(&vec![b' '; DEVICE_INFO_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn files_are_called_as_multus_and_device_plugins_call_them() {
        assert_eq!(
            device_plugin_file("intel.com/vf", "0000:03:02.0").unwrap(),
            "intel.com-vf-0000:03:02.0-device.json"
        );
        assert_eq!(device_plugin_file("v/vf", &"x".repeat(300)), None);
        assert_eq!(attachment_file("default/sriov", "cid", "net1"), "default-sriov-cid_net1");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), keys in "[a-z\\-\":{},0-9]{0,60}") {
            prop_assert!(DeviceInfo::parse(&bytes).is_err());
            let text = format!("{{\"type\":\"pci\",\"version\":\"1.1.0\",\"pci\":{{{keys}}}}}");
            if let Ok(info) = DeviceInfo::parse(text.as_bytes()) {
                prop_assert!(json!(info).to_string().len() <= text.len());
            }
        }

        #[test]
        fn a_file_name_is_never_a_path(network in ".{0,300}", resource in ".{0,300}", id in ".{0,100}") {
            let name = attachment_file(&network, &"c".repeat(200), "net1");
            prop_assert!(!name.contains('/') && name.len() <= FILE_NAME_BYTES_MAX && name.len() > 200);
            if let Some(name) = device_plugin_file(&resource, &id) {
                prop_assert!(!name.contains(['/', '\0']) && name.len() <= FILE_NAME_BYTES_MAX);
            }
        }
    }
}
