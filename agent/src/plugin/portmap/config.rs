//! What `portmap` is asked for.

use std::net::IpAddr;

use plexus_cni::config::PluginConfig;
use plexus_cni::limits::PORT_MAPPINGS_MAX;
use plexus_cni::{CniError, Code, json};
use serde::Deserialize;
use serde_json::Value;

use crate::nft::{HostPort, Protocol, Translation};
use crate::plugin::PluginCall;

/// Keys of the config.
pub(super) const KEYS: &[&str] =
    &["snat", "masqAll", "markMasqBit", "backend", "externalSetMarkChain", "conditionsV4", "conditionsV6"];
/// The bit of the packet mark that the reference plugin uses.
const MARK_BIT_DEFAULT: u8 = 13;
/// Bits of a packet mark.
const MARK_BIT_MAX: u8 = 31;

/// The config.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    snat: Option<bool>,
    masq_all: Option<bool>,
    mark_masq_bit: Option<u8>,
    backend: Option<String>,
}

/// One mapping, as runtimes write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    #[serde(default)]
    host_port: i64,
    container_port: i64,
    #[serde(default)]
    protocol: String,
    #[serde(default, rename = "hostIP")]
    host_ip: String,
}

impl Config {
    /// Reads and checks the config.
    pub(super) fn read(config: &PluginConfig) -> Result<Self, CniError> {
        let config: Self = config.typed()?;
        if let Some(backend) = config.backend.as_deref()
            && !matches!(backend, "" | "iptables" | "nftables")
        {
            return Err(wrong("backend", backend, "it must be iptables or nftables"));
        }
        if config.mark_masq_bit.is_some_and(|bit| bit > MARK_BIT_MAX) {
            return Err(wrong("markMasqBit", config.mark_bit(), "a packet mark has the bits 0 to 31"));
        }
        Ok(config)
    }

    /// The bit of the packet mark.
    pub(super) fn mark_bit(&self) -> u8 {
        self.mark_masq_bit.unwrap_or(MARK_BIT_DEFAULT)
    }

    /// Whose source is translated.
    pub(super) fn translation(&self) -> Translation {
        match (self.masq_all.unwrap_or(false), self.snat.unwrap_or(true)) {
            (true, _) => Translation::All,
            (false, true) => Translation::Needed,
            (false, false) => Translation::None,
        }
    }
}

/// Whether the config holds arguments for iptables, which only the binary can use.
pub(super) fn needs_iptables(config: &PluginConfig) -> bool {
    let is_said = |key: &str| match config.0.get(key) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    ["externalSetMarkChain", "conditionsV4", "conditionsV6"].iter().any(|key| is_said(key))
}

/// The ports that the runtime asks for; those without a port of the host are none.
pub(super) fn ports(call: &PluginCall<'_>) -> Result<Vec<HostPort>, CniError> {
    let Some(asked) = call.runtime_config()?.and_then(|runtime| runtime.get("portMappings")) else {
        return Ok(Vec::new());
    };
    let list = match asked {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) if list.len() <= PORT_MAPPINGS_MAX => list,
        Value::Array(list) => {
            return Err(wrong("runtimeConfig.portMappings", list.len(), "there are more than 256 entries"));
        }
        other => return Err(wrong("runtimeConfig.portMappings", other, "it must be a list")),
    };
    let mut ports: Vec<HostPort> = Vec::with_capacity(list.len());
    for value in list {
        let Some(port) = port(value)? else { continue };
        let is_same = |other: &&HostPort| place(other) == place(&port) && other.protocol == port.protocol;
        match ports.iter().find(is_same) {
            None => ports.push(port),
            Some(other) if other.container_port == port.container_port => {}
            Some(_) => {
                return Err(wrong(
                    "runtimeConfig.portMappings",
                    value,
                    "the host's port is given away twice",
                ));
            }
        }
    }
    Ok(ports)
}

fn place(port: &HostPort) -> (Option<IpAddr>, u16) {
    (port.host_ip, port.host_port)
}

fn port(value: &Value) -> Result<Option<HostPort>, CniError> {
    let wrong = |why: &str| wrong("runtimeConfig.portMappings", value, why);
    let object = value.as_object().ok_or_else(|| wrong("an entry must be an object"))?;
    let mapping: Mapping = json::typed(object, "portmap: runtimeConfig.portMappings")?;
    if mapping.host_port == 0 {
        return Ok(None);
    }
    let number = |port: i64| u16::try_from(port).ok().filter(|port| *port != 0);
    let host_port = number(mapping.host_port).ok_or_else(|| wrong("hostPort must be 0 to 65535"))?;
    let container_port =
        number(mapping.container_port).ok_or_else(|| wrong("containerPort must be 1 to 65535"))?;
    let protocol = match &*mapping.protocol.to_ascii_lowercase() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(wrong("protocol must be tcp, udp or sctp")),
    };
    let host_ip = match &*mapping.host_ip {
        "" => None,
        text => Some(text.parse().map_err(|_| wrong("hostIP must be an IP address"))?),
    };
    Ok(Some(HostPort { protocol, host_ip, host_port, container_port }))
}

pub(super) fn wrong(key: &str, value: impl std::fmt::Display, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("portmap: key {key:?} is {value}")).because(why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(keys: &Value) -> PluginConfig {
        let mut object = keys.as_object().unwrap().clone();
        object.insert("type".into(), "portmap".into());
        PluginConfig(object)
    }

    #[test]
    fn a_mapping_is_read_as_runtimes_write_it() {
        let read = |value: Value| port(&value);
        let full = json!({"hostPort": 8080, "containerPort": 80, "protocol": "UDP", "hostIP": "fd00::1"});
        let expected = HostPort {
            protocol: Protocol::Udp,
            host_ip: Some("fd00::1".parse().unwrap()),
            host_port: 8080,
            container_port: 80,
        };
        assert_eq!(read(full).unwrap(), Some(expected));
        let short = read(json!({"hostPort": 1, "containerPort": 2, "hostIP": ""})).unwrap().unwrap();
        assert_eq!((short.protocol, short.host_ip), (Protocol::Tcp, None));
        assert_eq!(read(json!({"hostPort": 0, "containerPort": 80})).unwrap(), None);
        for refused in [
            json!({"hostPort": 70000, "containerPort": 80}),
            json!({"hostPort": -1, "containerPort": 80}),
            json!({"hostPort": 80, "containerPort": 0}),
            json!({"hostPort": 80}),
            json!({"hostPort": 80, "containerPort": 80, "protocol": "icmp"}),
            json!({"hostPort": 80, "containerPort": 80, "hostIP": "here"}),
            json!("80:80"),
        ] {
            assert!(read(refused.clone()).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_only_iptables_can_do_is_left_to_the_binary() {
        assert!(!needs_iptables(&config(
            &json!({"conditionsV4": [], "conditionsV6": null, "externalSetMarkChain": ""})
        )));
        assert!(needs_iptables(&config(&json!({"conditionsV4": ["!", "-d", "192.0.2.0/24"]}))));
        assert!(needs_iptables(&config(&json!({"externalSetMarkChain": "KUBE-MARK-MASQ"}))));
    }

    #[test]
    fn sources_are_translated_as_the_reference_does_it() {
        let translation = |keys: Value| Config::read(&config(&keys)).unwrap().translation();
        assert_eq!(translation(json!({})), Translation::Needed);
        assert_eq!(translation(json!({"snat": false})), Translation::None);
        assert_eq!(translation(json!({"masqAll": true})), Translation::All);
        assert_eq!(translation(json!({"masqAll": true, "snat": false})), Translation::All);
        assert!(Config::read(&config(&json!({"markMasqBit": 32}))).is_err());
        assert!(Config::read(&config(&json!({"backend": "ipvs"}))).is_err());
    }
}
