//! The text of the runtime's config.

use plexus_cni::config::NetworkConfigList;
use plexus_cni::json::{Object, parse_object};
use plexus_cni::meta::{META_TYPE, META_TYPES};
use plexus_cni::{CniError, Code, Version};
use serde_json::{Value, json};

use super::ConflistSettings;

/// The config that names the meta-plugin, for a primary whose config is `text` at `path`.
///
/// Results are converted between versions, so the primary may be older than the config here: what Multus refuses (its
/// CheckVersionCompatibility) works. Keys of Multus that say what an attachment is like (namespaceIsolation and others) do
/// not stand here: plexusd puts its own over those of every call.
pub fn render(text: &str, path: &str, settings: &ConflistSettings) -> Result<String, CniError> {
    let document = parse_object(text.as_bytes(), "the primary CNI's config")?;
    let primary = NetworkConfigList::from_object(document, None, None)?;
    if let Some(meta) = primary.plugins.iter().find(|plugin| META_TYPES.contains(&plugin.plugin_type())) {
        return Err(CniError::new(
            Code::InvalidConfig,
            format!("key \"type\" is {:?}: it is a meta-plugin's own config", meta.plugin_type()),
        )
        .because("a primary CNI connects pods itself; name its file with --primary-cni"));
    }
    let version = settings.version.unwrap_or_else(|| primary.version.max(Version::V1_0_0));
    let name = settings.network_name.as_ref().unwrap_or(&primary.name);
    let mut plugin = Object::new();
    plugin.insert("type".into(), META_TYPE.into());
    let capabilities = capabilities(&primary);
    if !capabilities.is_empty() {
        plugin.insert("capabilities".into(), capabilities.into());
    }
    plugin.insert("clusterNetwork".into(), path.into());
    for (key, place) in [("socket", &settings.socket), ("stateDir", &settings.state_dir)] {
        if let Some(place) = place {
            plugin.insert(key.into(), json!(place));
        }
    }
    let mut config = Object::new();
    config.insert("cniVersion".into(), version.as_str().into());
    config.insert("name".into(), name.clone().into());
    if settings.file_name.ends_with(".conflist") {
        config.insert("plugins".into(), json!([plugin]));
    } else {
        config.extend(plugin);
    }
    serde_json::to_string_pretty(&config).map(|text| text + "\n").map_err(|error| {
        CniError::new(Code::Internal, "the runtime's config cannot be encoded").because(error.to_string())
    })
}

/// What any plugin of the chain can take from the runtime: the runtime gives it to us only where we say so.
fn capabilities(primary: &NetworkConfigList) -> Object {
    let declared = primary.plugins.iter().filter_map(|plugin| plugin.0.get("capabilities")?.as_object());
    declared
        .flatten()
        .filter(|(_, is_on)| **is_on == Value::Bool(true))
        .map(|(name, _)| (name.clone(), true.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use plexus_cni::meta::{DefaultNetwork, MetaConfig};
    use proptest::prelude::*;

    use super::super::OnExit;
    use super::*;

    fn settings(file_name: &str) -> ConflistSettings {
        ConflistSettings {
            conf_dir: "/c".into(),
            primary_dir: "/c".into(),
            file_name: file_name.into(),
            primary: None,
            version: None,
            network_name: Some("multus-cni-network".into()),
            readiness_indicator: None,
            on_exit: OnExit::Keep,
            socket: None,
            state_dir: None,
        }
    }

    const CALICO: &str = r#"{"cniVersion": "0.3.1", "name": "k8s", "plugins": [
        {"type": "calico", "capabilities": {"ips": false}},
        {"type": "portmap", "capabilities": {"portMappings": true, "snat": true}},
        {"type": "bandwidth", "capabilities": {"bandwidth": true}}]}"#;

    fn rendered(text: &str, settings: &ConflistSettings) -> Value {
        serde_json::from_str(&render(text, "/c/10-k.conflist", settings).unwrap()).unwrap()
    }

    #[test]
    fn a_conflist_names_the_primary_and_offers_what_its_chain_can_take() {
        let expected = json!({
            "cniVersion": "1.0.0", "name": "multus-cni-network",
            "plugins": [{
                "type": "plexus", "clusterNetwork": "/c/10-k.conflist",
                "capabilities": {"portMappings": true, "snat": true, "bandwidth": true},
            }],
        });
        assert_eq!(rendered(CALICO, &settings("00-plexus.conflist")), expected);
    }

    #[test]
    fn version_name_form_and_places_are_as_set() {
        let set = ConflistSettings {
            version: Some(Version::V0_3_1),
            network_name: None,
            socket: Some(PathBuf::from("/s")),
            state_dir: Some(PathBuf::from("/d")),
            ..settings("00-plexus.conf")
        };
        let conf = rendered(CALICO, &set);
        assert_eq!(
            (&conf["cniVersion"], &conf["name"], &conf["type"]),
            (&json!("0.3.1"), &json!("k8s"), &json!("plexus"))
        );
        assert_eq!((&conf["socket"], &conf["stateDir"]), (&json!("/s"), &json!("/d")));
        let newer = CALICO.replace("0.3.1", "1.1.0");
        assert_eq!(rendered(&newer, &settings("x.conflist"))["cniVersion"], "1.1.0");
    }

    #[test]
    fn what_is_no_primary_is_refused_with_the_reason() {
        let set = settings("x.conflist");
        for (text, reason) in [
            ("", "empty"),
            ("{", "decoded"),
            (r#"{"cniVersion": "1.0.0", "name": "m", "type": "multus-shim"}"#, "multus-shim"),
            (r#"{"cniVersion": "1.0.0", "name": "m"}"#, "type"),
            (r#"{"cniVersion": "1.0.0", "type": "ptp"}"#, "name"),
        ] {
            let error = render(text, "/p", &set).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_rendered_is_a_config_of_ours(name in "[a-z][a-z0-9.-]{0,20}", chain in 1_usize..5, version in 0_usize..5) {
            let version = Version::ALL[version].as_str();
            let plugins: Vec<Value> = (0..chain).map(|at| json!({"type": format!("p{at}"), "capabilities": {format!("c{at}"): true}})).collect();
            let text = json!({"cniVersion": version, "name": name, "plugins": plugins}).to_string();
            let set = ConflistSettings { network_name: None, ..settings("x.conf") };
            let config = render(&text, "/p", &set).unwrap();
            let meta = MetaConfig::parse(&config, &Object::new()).unwrap();
            prop_assert_eq!(meta.default_network, DefaultNetwork::Cluster("/p".into()));
            prop_assert_eq!(meta.name, name);
        }
    }
}
