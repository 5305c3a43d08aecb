//! What a config asks of an interface and of the pod's sysctls.

use std::path::PathBuf;

use plexus_cni::args::CniArgs;
use plexus_cni::config::PluginConfig;
use plexus_cni::json::{self, Object};
use plexus_cni::limits::{SYSCTL_VALUE_BYTES_MAX, SYSCTLS_MAX};
use plexus_cni::sysctl::SysctlName;
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use crate::plugin::call::parse_mac;

/// Where the reference plugin keeps what it found, unless the config says otherwise.
const DATA_DIR_DEFAULT: &str = "/run/cni/tuning";

/// The config, with what pod and runtime ask for in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) sysctls: Vec<Sysctl>,
    pub(super) mac: Option<[u8; 6]>,
    /// False is no wish, as in the reference.
    pub(super) is_promiscuous: bool,
    pub(super) mtu: Option<u32>,
    pub(super) is_all_multicast: Option<bool>,
    pub(super) tx_queue_len: Option<u32>,
}

/// One sysctl and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sysctl {
    /// As the config has it, which is what the allow-list is asked for.
    pub(super) key: String,
    pub(super) name: SysctlName,
    pub(super) value: String,
}

/// The keys that a config and `args.cni` have alike.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    sysctl: Option<Object>,
    mac: Option<String>,
    promisc: Option<bool>,
    mtu: Option<u32>,
    allmulti: Option<bool>,
    #[serde(rename = "txQLen")]
    tx_queue_len: Option<u32>,
}

impl Config {
    /// Reads the config; a key of `args.cni` goes before it, for sysctls each by itself. The hardware address is that of
    /// `args.cni`, of runtimeConfig, of `CNI_ARGS`, of the config: the first that there is, as in the reference.
    pub(super) fn of(config: &PluginConfig, ifname: &str, args: &CniArgs) -> Result<Self, CniError> {
        data_dir(config)?;
        let own: Keys = json::typed(&config.0, "tuning")?;
        let pods = config.0.get("args").and_then(|args| args.get("cni")).and_then(Value::as_object);
        let pods: Keys =
            pods.map(|pods| json::typed(pods, "tuning: args.cni")).transpose()?.unwrap_or_default();
        let runtime = json::object(&config.0, "runtimeConfig", "tuning")?;
        let runtime = runtime.map(|runtime| json::string(runtime, "mac", "tuning")).transpose()?.flatten();
        let macs = [pods.mac.as_deref(), runtime, args.get("MAC"), own.mac.as_deref()];
        let mac = macs.into_iter().flatten().find(|text| !text.is_empty());
        let mut sysctls = sysctls(own.sysctl, ifname)?;
        for asked in self::sysctls(pods.sysctl, ifname)? {
            sysctls.retain(|sysctl| sysctl.name != asked.name);
            sysctls.push(asked);
        }
        Ok(Self {
            sysctls,
            mac: mac.map(parse_mac).transpose()?,
            is_promiscuous: pods.promisc.or(own.promisc).unwrap_or_default(),
            mtu: pods.mtu.or(own.mtu).filter(|mtu| *mtu != 0),
            is_all_multicast: pods.allmulti.or(own.allmulti),
            tx_queue_len: pods.tx_queue_len.or(own.tx_queue_len),
        })
    }

    /// Whether the interface itself is changed.
    pub(super) fn changes_link(&self) -> bool {
        let Self { sysctls: _, mac, is_promiscuous, mtu, is_all_multicast, tx_queue_len } = self;
        mac.is_some()
            || *is_promiscuous
            || mtu.is_some()
            || is_all_multicast.is_some()
            || tx_queue_len.is_some()
    }
}

/// Where the reference plugin would have kept what it found.
pub(super) fn data_dir(config: &PluginConfig) -> Result<PathBuf, CniError> {
    let dir = json::string(&config.0, "dataDir", "tuning")?.filter(|dir| !dir.is_empty());
    Ok(PathBuf::from(dir.unwrap_or(DATA_DIR_DEFAULT)))
}

fn sysctls(object: Option<Object>, ifname: &str) -> Result<Vec<Sysctl>, CniError> {
    let wrong = |key: &str, why: String| {
        Err(CniError::new(Code::InvalidConfig, format!("tuning: sysctl {key:?} cannot be used")).because(why))
    };
    let mut sysctls: Vec<Sysctl> = Vec::new();
    for (key, value) in object.unwrap_or_default() {
        let Value::String(value) = value else {
            return wrong(&key, format!("its value is {value}; it must be a string, in quotation marks"));
        };
        if value.len() > SYSCTL_VALUE_BYTES_MAX || value.contains('\0') {
            return wrong(
                &key,
                format!("its value must have at most {SYSCTL_VALUE_BYTES_MAX} bytes, none of them zero"),
            );
        }
        let name = SysctlName::parse(&key, ifname).map_err(|error| error.within("tuning"))?;
        if sysctls.iter().any(|other| other.name == name) {
            return wrong(&key, "it is there twice".into());
        }
        if sysctls.len() == SYSCTLS_MAX {
            return wrong(&key, format!("at most {SYSCTLS_MAX} can be set"));
        }
        sysctls.push(Sysctl { key, name, value });
    }
    Ok(sysctls)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value, args: &str) -> Result<Config, CniError> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        Config::of(&PluginConfig(object), "net1", &CniArgs::parse(args)?)
    }

    #[test]
    fn the_hardware_address_is_the_first_of_four() {
        let mut config = json!({"type": "tuning"});
        let mut args = "";
        for (last, place) in [(4, "/mac"), (3, ""), (2, "/runtimeConfig"), (1, "/args")] {
            let mac = format!("02:00:00:00:00:0{last}");
            match place {
                "" => args = "MAC=02:00:00:00:00:03",
                "/runtimeConfig" => config["runtimeConfig"] = json!({"mac": mac}),
                "/args" => config["args"] = json!({"cni": {"mac": mac}}),
                _ => config["mac"] = json!(mac),
            }
            let read = read(config.clone(), args).unwrap();
            assert_eq!(read.mac, Some([2, 0, 0, 0, 0, last]));
            assert!(read.changes_link());
        }
    }

    #[test]
    fn a_pods_sysctls_are_set_beside_the_configs_and_before_them() {
        let config = json!({
            "type": "tuning", "mtu": 0, "promisc": false,
            "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1"},
            "args": {"cni": {"sysctl": {"net/ipv4/conf/net1/arp_filter": "0"}, "txQLen": 5}},
        });
        let config = read(config, "").unwrap();
        let set: Vec<_> = config.sysctls.iter().map(|one| (one.name.path(), &*one.value)).collect();
        assert_eq!(set, [("net/core/somaxconn", "500"), ("net/ipv4/conf/net1/arp_filter", "0")]);
        assert_eq!((config.mtu, config.tx_queue_len, config.is_promiscuous), (None, Some(5), false));
    }

    #[test]
    fn what_cannot_be_set_is_refused_by_name() {
        for (key, value) in [
            ("sysctl", json!({"kernel.hostname": "x"})),
            ("sysctl", json!({"net.core.somaxconn": 500})),
            ("sysctl", json!({"net.core.somaxconn": "1", "net/core/somaxconn": "2"})),
            ("sysctl", json!({"net.core.somaxconn": "1".repeat(SYSCTL_VALUE_BYTES_MAX + 1)})),
            ("mac", json!("01:00:00:00:00:01")),
            ("mtu", json!(-1)),
            ("allmulti", json!("yes")),
            ("dataDir", json!(1)),
        ] {
            let error = read(json!({"type": "tuning", key: value}), "").unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig, "{key}");
        }
        assert!(!read(json!({"type": "tuning"}), "").unwrap().changes_link());
    }
}
