//! What a config asks of source based routing.

use std::net::IpAddr;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

/// `RT_TABLE_LOCAL`, linux/rtnetlink.h: the kernel's own.
const TABLE_LOCAL: u32 = 255;

/// The keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    /// Where the rules lead to; without it each address gets a table of its own, with the interface's routes.
    pub(super) table: Option<u32>,
    /// Next hops of default routes, one of a family at most, in place of those of the addresses.
    pub(super) gateways: Vec<IpAddr>,
    /// The routes prefer the address as source.
    pub(super) add_source_hints: bool,
}

impl Config {
    /// Reads the config.
    pub(super) fn of(config: &PluginConfig) -> Result<Self, CniError> {
        let read: Self = config.typed()?;
        let wrong = |key: &str, value: String, why: &str| {
            Err(CniError::new(Code::InvalidConfig, format!("sbr: key {key:?} is {value}"))
                .because(why.to_owned()))
        };
        if let Some(table) = read.table.filter(|table| [0, TABLE_LOCAL].contains(table)) {
            return wrong(
                "table",
                table.to_string(),
                "0 is no table, 255 is the kernel's own; choose another",
            );
        }
        let of_family = |is_ipv4| read.gateways.iter().filter(|gateway| gateway.is_ipv4() == is_ipv4).count();
        if of_family(true) > 1 || of_family(false) > 1 {
            return wrong(
                "gateways",
                format!("{:?}", read.gateways),
                "give one for IPv4 and one for IPv6 at most",
            );
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Config, CniError> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        Config::of(&PluginConfig(object))
    }

    #[test]
    fn every_key_may_be_left_out() {
        assert_eq!(read(json!({"type": "sbr", "table": null})).unwrap(), Config::default());
        let all =
            json!({"type": "sbr", "table": 300, "gateways": ["10.0.0.1", "fd00::1"], "addSourceHints": true});
        let all = read(all).unwrap();
        assert_eq!((all.table, all.gateways.len(), all.add_source_hints), (Some(300), 2, true));
    }

    #[test]
    fn what_cannot_be_a_table_or_a_gateway_is_refused() {
        for (key, value) in [
            ("table", json!(0)),
            ("table", json!(255)),
            ("table", json!(-1)),
            ("gateways", json!(["10.0.0.1", "10.0.0.2"])),
            ("gateways", json!(["10.0.0"])),
            ("gateways", json!("10.0.0.1")),
        ] {
            let error = read(json!({"type": "sbr", key: value})).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.msg.contains(key), "{error}");
        }
    }
}
