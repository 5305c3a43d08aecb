//! Multus' own configs: `daemon-config.json` of its daemon, and the `00-multus.conf` of its thin plugin and its shim.
//!
//! They are read as they are. What each key does here, and which does nothing, is in [`KEYS`].

mod keys;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use keys::{Effect, KEYS, Key};

use crate::error::{CniError, Code};
use crate::json::{Object, parse_object};
use crate::lines::{Lines, Position, pointer_of};

/// A config of Multus.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// The keys that are known, typed.
    pub keys: Keys,
    /// The document as it was written.
    pub document: Object,
    lines: Lines,
}

/// Every key that Multus 4 reads, in its daemon or its plugins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Multus'; KEYS says what each means here")]
pub struct Keys {
    pub cni_version: Option<String>,
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub plugin_type: Option<String>,
    pub capabilities: Option<BTreeMap<String, bool>>,
    pub runtime_config: Option<Object>,
    pub prev_result: Option<Object>,
    pub conf_dir: Option<String>,
    pub cni_dir: Option<String>,
    pub bin_dir: Option<String>,
    pub delegates: Option<Vec<Object>>,
    pub cluster_network: Option<String>,
    pub default_networks: Option<Vec<String>>,
    pub kubeconfig: Option<String>,
    pub log_file: Option<String>,
    pub log_level: Option<String>,
    pub log_to_stderr: Option<bool>,
    pub log_options: Option<LogOptions>,
    #[serde(rename = "readinessindicatorfile")]
    pub readiness_indicator_file: Option<String>,
    pub namespace_isolation: Option<bool>,
    pub global_namespaces: Option<String>,
    pub system_namespaces: Option<Vec<String>>,
    pub multus_namespace: Option<String>,
    pub retry_delete_on_error: Option<bool>,
    #[serde(rename = "auxiliaryCNIChainName")]
    pub auxiliary_cni_chain_name: Option<String>,
    pub daemon_socket_dir: Option<String>,
    pub chroot_dir: Option<String>,
    pub socket_dir: Option<String>,
    pub metrics_port: Option<u16>,
    pub enable_pprof: Option<bool>,
    pub connection_limit: Option<u32>,
    pub per_node_certificate: Option<PerNodeCertificate>,
    pub cni_config_dir: Option<String>,
    pub multus_config_file: Option<String>,
    pub multus_autoconfig_dir: Option<String>,
    #[serde(rename = "multusMasterCNI")]
    pub multus_master_cni: Option<String>,
    #[serde(rename = "forceCNIVersion")]
    pub force_cni_version: Option<bool>,
    pub override_network_name: Option<bool>,
}

/// `logOptions`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Multus'")]
pub struct LogOptions {
    pub max_age: Option<u32>,
    pub max_size: Option<u32>,
    pub max_backups: Option<u32>,
    pub compress: Option<bool>,
}

/// `perNodeCertificate`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Multus'")]
pub struct PerNodeCertificate {
    pub enabled: Option<bool>,
    pub bootstrap_kubeconfig: Option<String>,
    pub cert_dir: Option<String>,
    pub cert_duration: Option<String>,
}

/// What a key of a config does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The key.
    pub key: &'a str,
    /// Where it stands.
    pub position: Option<Position>,
    /// What becomes of it.
    pub effect: Effect,
    /// Why, and what to do instead.
    pub why: &'static str,
}

impl DaemonConfig {
    /// Reads a config. A value of the wrong type is an error with the key, line and column; a key that is null counts as
    /// absent.
    pub fn parse(text: &str, what: &str) -> Result<Self, CniError> {
        let document = parse_object(text.as_bytes(), what)?;
        Self::from_object(document, Lines::of_json(text), what)
    }

    /// As [`DaemonConfig::parse`], from a document whose positions are known.
    pub fn from_object(document: Object, lines: Lines, what: &str) -> Result<Self, CniError> {
        let present = document.iter().filter(|(_, value)| !value.is_null());
        let present: Object = present.map(|(key, value)| (key.clone(), value.clone())).collect();
        let keys = serde_path_to_error::deserialize(Value::Object(present)).map_err(|error| {
            let place = lines.get(&pointer_of(error.path())).map(|at| format!(", {at}")).unwrap_or_default();
            CniError::new(
                Code::InvalidConfig,
                format!("{what}{place}: key {:?} cannot be used", error.path().to_string()),
            )
            .because(error.into_inner().to_string())
        })?;
        Ok(Self { keys, document, lines })
    }

    /// What becomes of each key that is there, in the document's order; an unknown one is among them.
    pub fn notes(&self) -> Vec<Note<'_>> {
        let of = |key| {
            let known = KEYS.iter().find(|known| known.name == key);
            let (effect, why) = known.map_or(
                (Effect::Unknown, "neither Plexus nor Multus knows it; correct its spelling or remove it"),
                |known| (known.effect, known.why),
            );
            Note { key, position: self.lines.get(&crate::lines::child("", key)), effect, why }
        };
        self.document.keys().map(|key| of(key)).collect()
    }

    /// The keys that take the place of those in the runtime's config on every call, as with Multus' daemon.
    pub fn meta_overlay(&self) -> Object {
        let is_of_calls = |name: &str| KEYS.iter().any(|key| key.name == name && key.is_of_calls);
        self.document
            .iter()
            .filter(|(name, value)| is_of_calls(name) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// `logLevel` as the level that is nearest here.
    pub fn log_level(&self) -> Option<&'static str> {
        self.keys.log_level.as_deref().map(|level| match level {
            "debug" => "debug",
            "error" | "panic" => "error",
            _ => "info",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The ConfigMap of Multus' thick manifest.
    const STOCK: &str = r#"{
        "chrootDir": "/hostroot",
        "cniVersion": "0.3.1",
        "logLevel": "verbose",
        "logToStderr": true,
        "cniConfigDir": "/host/etc/cni/net.d",
        "multusAutoconfigDir": "/host/etc/cni/net.d",
        "multusConfigFile": "auto",
        "socketDir": "/host/run/multus/"
    }"#;

    #[test]
    fn the_stock_daemon_config_is_read_as_it_is() {
        let config = DaemonConfig::parse(STOCK, "daemon config").unwrap();
        assert_eq!(config.keys.cni_config_dir.as_deref(), Some("/host/etc/cni/net.d"));
        assert_eq!((config.log_level(), config.meta_overlay()), (Some("info"), Object::new()));
        let ignored: Vec<_> = config
            .notes()
            .into_iter()
            .filter(|note| note.effect == Effect::Ignored)
            .map(|note| note.key)
            .collect();
        assert_eq!(ignored, ["chrootDir", "logToStderr", "socketDir"]);
    }

    #[test]
    fn keys_of_the_meta_plugin_become_the_overlay() {
        let text = json!({
            "namespaceIsolation": true, "globalNamespaces": "a,b", "readinessindicatorfile": "/run/x", "binDir": null,
            "metricsPort": 9091, "chrootDir": "/hostroot",
        });
        let overlay = DaemonConfig::parse(&text.to_string(), "x").unwrap().meta_overlay();
        let expected = json!({"namespaceIsolation": true, "globalNamespaces": "a,b", "readinessindicatorfile": "/run/x"});
        assert_eq!(Value::Object(overlay), expected);
    }

    #[test]
    fn a_wrong_type_is_named_with_key_line_and_column() {
        let text = "{\n  \"logOptions\": {\"maxAge\": 5,\n    \"maxSize\": \"big\"}\n}";
        let error = DaemonConfig::parse(text, "daemon config").unwrap_err();
        assert!(
            error.msg.contains("line 3, column 5") && error.msg.contains("logOptions.maxSize"),
            "{error}"
        );
        for wrong in [
            json!({"metricsPort": 70000}),
            json!({"delegates": {}}),
            json!({"namespaceIsolation": "yes"}),
            json!({"capabilities": {"portMappings": 1}}),
            json!({"connectionLimit": -1}),
        ] {
            assert_eq!(
                DaemonConfig::parse(&wrong.to_string(), "x").unwrap_err().code,
                Code::InvalidConfig,
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_kept_and_noted_with_its_line() {
        let config = DaemonConfig::parse("{\n \"allowTryDeleteOnErr\": true,\n \"mine\": 1}", "x").unwrap();
        let notes = config.notes();
        assert_eq!((notes[0].effect, notes[1].effect), (Effect::Ignored, Effect::Unknown));
        assert_eq!(notes[1].position.unwrap().line, 3);
        assert_eq!(config.document["mine"], 1);
    }

    #[test]
    fn every_typed_key_has_a_line_that_says_what_becomes_of_it() {
        // A document with a wrong type at each key: serde names it, if it knows it.
        for key in KEYS.iter().filter(|key| key.name != "allowTryDeleteOnErr") {
            let text = json!({key.name: [[1]]}).to_string();
            assert!(DaemonConfig::parse(&text, "x").is_err(), "{} is in the table but not typed", key.name);
        }
        assert_eq!(KEYS.len(), 38);
    }
}
