//! Network configs as they stand in files, on stdin and in NetworkAttachmentDefinitions.
//!
//! A config is kept as its author wrote it; typed views read it, and requests to plugins are the original with only
//! `name`, `cniVersion`, `prevResult`, `runtimeConfig` and `args` put in (C123 to C131).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{CniError, Code};
use crate::json::{self, Object, parse_object};
use crate::limits::PLUGINS_MAX;
use crate::name::{check_network_name, check_plugin_type};
use crate::version::Version;

/// One plugin's config, lossless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginConfig(pub Object);

impl PluginConfig {
    /// Checks `type` and `ipam.type` (C029) and takes the object as it is.
    pub fn new(object: Object) -> Result<Self, CniError> {
        let config = Self(object);
        let plugin_type = json::string(&config.0, "type", "network config")?
            .ok_or_else(|| CniError::new(Code::InvalidConfig, "network config: key \"type\" is missing"))?;
        check_plugin_type(plugin_type, "type")?;
        if let Some(ipam) = json::object(&config.0, "ipam", plugin_type)?
            && let Some(ipam_type) = json::string(ipam, "type", "ipam")?
            && !ipam_type.is_empty()
        {
            check_plugin_type(ipam_type, "ipam.type")?;
        }
        Ok(config)
    }

    /// The plugin's name.
    pub fn plugin_type(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The `ipam` section, if it names a plugin.
    pub fn ipam(&self) -> Option<&Object> {
        self.0.get("ipam").and_then(Value::as_object).filter(|_| self.ipam_type().is_some())
    }

    /// The IPAM plugin's name, if there is one.
    pub fn ipam_type(&self) -> Option<&str> {
        self.0.get("ipam")?.get("type")?.as_str().filter(|name| !name.is_empty())
    }

    /// The keys that `T` knows; the error names the plugin and the key.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, CniError> {
        json::typed(&self.0, self.plugin_type())
    }

    /// Whether the config asks for the binary although the type is native: `"plexus": {"exec": true}`.
    pub fn wants_exec(&self) -> bool {
        self.0.get("plexus").and_then(|own| own.get("exec")).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether the plugin declares the capability `name`.
    pub fn has_capability(&self, name: &str) -> bool {
        self.0.get("capabilities").and_then(|all| all.get(name)).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The request config for this plugin in a chain.
    ///
    /// `runtime_config` is what the runtime and the network selection element ask for; only declared capabilities are
    /// passed on (C124), and `capabilities` itself is left out (C125).
    pub fn request(
        &self,
        network: &NetworkConfigList,
        runtime_config: &Object,
        prev_result: Option<&Value>,
    ) -> Object {
        let mut request = self.0.clone();
        request.shift_remove("capabilities");
        request.shift_remove("runtimeConfig");
        request.shift_remove("prevResult");
        // Only a runtime may say what is under this prefix (C142).
        request.retain(|key, _| !key.starts_with("cni.dev/"));
        request.insert("name".into(), network.name.clone().into());
        request.insert("cniVersion".into(), network.version.as_str().into());
        let granted: Object = runtime_config
            .iter()
            .filter(|(name, _)| self.has_capability(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !granted.is_empty() {
            request.insert("runtimeConfig".into(), Value::Object(granted));
        }
        if let Some(result) = prev_result {
            request.insert("prevResult".into(), result.clone());
        }
        request
    }
}

/// A network: its name, its version and its chain of plugins; a single conf is a chain of one.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfigList {
    /// The version that results are handed out in.
    pub version: Version,
    /// The network's name.
    pub name: String,
    /// CHECK is a success without asking anybody (C140).
    pub disable_check: bool,
    /// GC does nothing (C140).
    pub disable_gc: bool,
    /// The chain, in ADD order.
    pub plugins: Vec<PluginConfig>,
    /// The document as its author wrote it.
    pub document: Object,
}

impl NetworkConfigList {
    /// Parses a conf or conflist; `default_name` and `default_version` stand in where the document has none, as Multus
    /// does for a NetworkAttachmentDefinition.
    pub fn parse(
        text: &str,
        default_name: Option<&str>,
        default_version: Option<Version>,
    ) -> Result<Self, CniError> {
        Self::from_object(parse_object(text.as_bytes(), "network config")?, default_name, default_version)
    }

    /// As [`NetworkConfigList::parse`], from an object.
    pub fn from_object(
        document: Object,
        default_name: Option<&str>,
        default_version: Option<Version>,
    ) -> Result<Self, CniError> {
        let version = match (document.get("cniVersion"), default_version) {
            (None | Some(Value::Null), Some(version)) => Ok(version),
            (value, _) => Version::from_config(value),
        };
        let version = Version::negotiated(version, document.get("cniVersions"))?;
        let own_name = json::string(&document, "name", "network config")?.filter(|name| !name.is_empty());
        let name = own_name
            .or(default_name)
            .ok_or_else(|| CniError::new(Code::InvalidConfig, "network config: key \"name\" is missing"))?
            .to_owned();
        check_network_name(&name)?;
        let plugins = match document.get("plugins") {
            None => vec![PluginConfig::new(document.clone())?],
            Some(Value::Array(list)) => plugins(list)?,
            Some(_) => {
                return Err(CniError::new(
                    Code::InvalidConfig,
                    "network config: key \"plugins\" must be an array",
                ));
            }
        };
        let flag = |key: &str| match document.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let (disable_check, disable_gc) = (flag("disableCheck"), flag("disableGC"));
        Ok(Self { version, name, disable_check, disable_gc, plugins, document })
    }
}

/// Appends plugins that lie as files of their own to a conflist's inline ones (CNI SPEC 1.1.0, "Loading plugin
/// configs": `loadOnlyInlinedPlugins`).
pub fn append_plugins(document: &mut Object, more: impl IntoIterator<Item = Object>) -> Result<(), CniError> {
    let list = document.entry("plugins").or_insert_with(|| Value::Array(Vec::new()));
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else {
        return Err(CniError::new(Code::InvalidConfig, "network config: key \"plugins\" must be an array"));
    };
    list.extend(more.into_iter().map(Value::Object));
    Ok(())
}

fn plugins(list: &[Value]) -> Result<Vec<PluginConfig>, CniError> {
    if list.is_empty() || list.len() > PLUGINS_MAX {
        return Err(CniError::new(
            Code::InvalidConfig,
            format!(
                "network config: key \"plugins\" must hold 1 to {PLUGINS_MAX} plugins, found {}",
                list.len()
            ),
        ));
    }
    list.iter()
        .enumerate()
        .map(|(index, plugin)| match plugin {
            Value::Object(object) => PluginConfig::new(object.clone()),
            _ => Err(CniError::new(
                Code::InvalidConfig,
                format!("network config: plugins[{index}] must be an object"),
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<NetworkConfigList, CniError> {
        NetworkConfigList::parse(&value.to_string(), None, None)
    }

    #[test]
    fn a_single_conf_is_a_chain_of_one() {
        let list = parse(&json!({"cniVersion": "1.0.0", "name": "n", "type": "macvlan"})).unwrap();
        assert_eq!(list.plugins.len(), 1);
        assert_eq!(list.plugins[0].plugin_type(), "macvlan");
    }

    #[test]
    fn c140_a_list_can_switch_check_and_gc_off() {
        let switched_off = |text: &str| {
            let list = NetworkConfigList::parse(text, None, None).unwrap();
            (list.disable_check, list.disable_gc)
        };
        let list =
            |keys: &str| format!(r#"{{"cniVersion":"1.1.0","name":"n",{keys}"plugins":[{{"type":"t"}}]}}"#);
        assert_eq!(switched_off(&list("")), (false, false));
        assert_eq!(switched_off(&list(r#""disableCheck":true,"disableGC":"true","#)), (true, true));
    }

    #[test]
    fn plugins_from_files_follow_the_inline_ones() {
        let mut document = json!({"cniVersion": "1.1.0", "name": "n"}).as_object().unwrap().clone();
        assert!(NetworkConfigList::from_object(document.clone(), None, None).is_err());
        let more = |name: &str| json!({"type": name}).as_object().unwrap().clone();
        append_plugins(&mut document, [more("first")]).unwrap();
        append_plugins(&mut document, [more("second")]).unwrap();
        let list = NetworkConfigList::from_object(document, None, None).unwrap();
        let types: Vec<_> = list.plugins.iter().map(PluginConfig::plugin_type).collect();
        assert_eq!(types, ["first", "second"]);
        let mut wrong = json!({"plugins": {}}).as_object().unwrap().clone();
        assert!(append_plugins(&mut wrong, []).is_err());
    }

    #[test]
    fn c010_c011_a_config_needs_a_name_that_is_no_path() {
        for name in [json!(null), json!(""), json!("../x"), json!("a b")] {
            let error = parse(&json!({"cniVersion": "1.0.0", "name": name, "type": "x"})).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig, "{name}");
        }
    }

    #[test]
    fn c029_ipam_types_are_plain_names() {
        let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "ipam": {"type": "../sh"}});
        assert!(parse(&conf).unwrap_err().msg.contains("ipam.type"));
    }

    #[test]
    fn c122_the_highest_version_that_is_spoken_here_counts() {
        let version = |versions: Value| {
            let document = json!({"cniVersion": "0.4.0", "name": "n", "type": "t", "cniVersions": versions});
            NetworkConfigList::parse(&document.to_string(), None, None).map(|list| list.version)
        };
        assert_eq!(version(json!(["0.3.1", "1.0.0"])).unwrap(), Version::V1_0_0);
        assert_eq!(version(json!(["1.0.0", "1.1.0", "1.2.0"])).unwrap(), Version::V1_1_0);
        assert_eq!(version(json!(["0.3.0"])).unwrap(), Version::V0_4_0);
        assert_eq!(version(json!([])).unwrap(), Version::V0_4_0);
        assert_eq!(version(Value::Null).unwrap(), Version::V0_4_0);
        for wrong in [json!("1.0.0"), json!([1]), json!(["one"])] {
            assert_eq!(version(wrong.clone()).unwrap_err().code, Code::Decoding, "{wrong}");
        }
        // What the key without an s names need not be spoken here.
        let newer = r#"{"cniVersion": "2.0.0", "cniVersions": ["1.0.0"], "name": "n", "type": "t"}"#;
        assert_eq!(NetworkConfigList::parse(newer, None, None).unwrap().version, Version::V1_0_0);
        let alien = r#"{"cniVersion": "2.0.0", "cniVersions": ["3.0.0"], "name": "n", "type": "t"}"#;
        let error = NetworkConfigList::parse(alien, None, None).unwrap_err();
        assert_eq!(error.code, Code::IncompatibleVersion);
    }

    #[test]
    fn c124_c125_only_declared_capabilities_are_passed_on() {
        let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "x", "capabilities": {"ips": true, "mac": false}});
        let list = parse(&conf).unwrap();
        let wanted = json!({"ips": ["10.0.0.1/24"], "mac": "02:00:00:00:00:01", "bandwidth": {}});
        let request = list.plugins[0].request(&list, wanted.as_object().unwrap(), None);
        assert_eq!(request["runtimeConfig"], json!({"ips": ["10.0.0.1/24"]}));
        assert!(!request.contains_key("capabilities"));
    }

    #[test]
    fn c131_what_a_plugin_gets_is_what_its_author_wrote() {
        let text = r#"{"cniVersion":"1.0.0","name":"n","type":"x","z":12345678901234567890123,"a":1.10,"k":{"q":[3,1]}}"#;
        let list = NetworkConfigList::parse(text, None, None).unwrap();
        let request = list.plugins[0].request(&list, &Object::new(), None);
        assert_eq!(Value::Object(request).to_string(), text);
    }

    #[test]
    fn c142_reserved_keys_do_not_pass_as_the_runtimes() {
        let conf = json!({
            "cniVersion": "1.0.0", "name": "n", "type": "x", "capabilities": {"mac": true},
            "runtimeConfig": {"mac": "02:00:00:00:00:01"}, "prevResult": {}, "cni.dev/valid-attachments": [],
        });
        let list = parse(&conf).unwrap();
        let request = list.plugins[0].request(&list, &Object::new(), None);
        assert_eq!(Value::Object(request), json!({"cniVersion": "1.0.0", "name": "n", "type": "x"}));
    }
}
