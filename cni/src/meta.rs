//! The meta-plugin's own config: `"type": "plexus"`, with the keys of Multus.

use serde::Deserialize;

use crate::config::NetworkConfigList;
use crate::error::{CniError, Code};
use crate::json::{self, Object, parse_object};
use crate::limits::{DIRECTORY_PATH_BYTES_MAX, NETWORKS_MAX, PATH_LIST_BYTES_MAX};
use crate::name::{check_network_name, is_dns_label};
use crate::version::Version;

/// The type of the meta-plugin.
pub const META_TYPE: &str = "plexus";
/// Types under which a runtime's config calls the meta-plugin: our own, and those of Multus.
pub const META_TYPES: [&str; 3] = [META_TYPE, "multus", "multus-shim"];
/// Keys that belong to the one call, not to the node: no overlay replaces them.
const OF_THE_CALL: [&str; 7] =
    ["cniVersion", "name", "type", "runtimeConfig", "prevResult", "socket", "stateDir"];

/// The meta-plugin's config.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaConfig {
    /// The version of the result that is handed back.
    pub version: Version,
    /// The network's name, as the runtime knows it.
    pub name: String,
    /// Where the default network comes from.
    pub default_network: DefaultNetwork,
    /// Networks that every pod outside of `system_namespaces` gets, as in `clusterNetwork`.
    pub default_networks: Vec<String>,
    /// Whether a pod may use networks of its own namespace and the global ones only.
    pub namespace_isolation: bool,
    /// Namespaces whose networks every pod may use.
    pub global_namespaces: Vec<String>,
    /// Namespaces whose pods get no `default_networks`.
    pub system_namespaces: Vec<String>,
    /// The namespace of the administrator's NetworkAttachmentDefinitions.
    pub multus_namespace: String,
    /// Directory of CNI files that networks are looked for in.
    pub conf_dir: String,
    /// Directories of plugins that are looked in before `CNI_PATH`.
    pub bin_dir: Vec<String>,
    /// Name of the chain whose plugins lie as files beside the default network's, if there may be one.
    pub auxiliary_chain: Option<String>,
    /// The file that the default network's agent makes when it can take pods.
    pub readiness_indicator_file: Option<String>,
    /// What the runtime asks for, for the default network.
    pub runtime_config: Object,
}

/// Where the default network comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultNetwork {
    /// `clusterNetwork`: a NetworkAttachmentDefinition's name, a CNI file's network name, or a path.
    Cluster(String),
    /// `delegates`: configs inline, the first is the default network, the others are attached beside it.
    Inline(Vec<NetworkConfigList>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    delegates: Option<Vec<Object>>,
    cluster_network: Option<String>,
    #[serde(default)]
    default_networks: Vec<String>,
    #[serde(default)]
    namespace_isolation: bool,
    global_namespaces: Option<String>,
    system_namespaces: Option<Vec<String>>,
    multus_namespace: Option<String>,
    conf_dir: Option<String>,
    bin_dir: Option<String>,
    #[serde(rename = "auxiliaryCNIChainName")]
    auxiliary_chain: Option<String>,
    #[serde(rename = "readinessindicatorfile")]
    readiness_indicator_file: Option<String>,
    #[serde(default)]
    runtime_config: Object,
}

impl MetaConfig {
    /// Parses the config that came on stdin. Keys of `overlay`, the node's own config, take the place of the same keys
    /// there, as Multus' daemon config does.
    pub fn parse(text: &str, overlay: &Object) -> Result<Self, CniError> {
        let mut object = parse_object(text.as_bytes(), "network config")?;
        for (key, value) in overlay.iter().filter(|(key, _)| !OF_THE_CALL.contains(&key.as_str())) {
            object.insert(key.clone(), value.clone());
        }
        let version = Version::from_config(object.get("cniVersion"))?;
        let name = json::string(&object, "name", META_TYPE)?.unwrap_or_default().to_owned();
        check_network_name(&name)?;
        let written: Written = json::typed(&object, META_TYPE)?;
        let default_network = match written.cluster_network.filter(|name| !name.is_empty()) {
            Some(reference) => DefaultNetwork::Cluster(reference),
            None => DefaultNetwork::Inline(inline(written.delegates.unwrap_or_default(), &name, version)?),
        };
        if written.default_networks.len() > NETWORKS_MAX {
            return Err(wrong("defaultNetworks", &format!("it holds more than {NETWORKS_MAX} networks")));
        }
        let multus_namespace = written.multus_namespace.unwrap_or_else(|| "kube-system".into());
        let global = written.global_namespaces.filter(|list| !list.trim().is_empty());
        let global_namespaces: Vec<String> =
            global.as_deref().unwrap_or("default").split(',').map(|name| name.trim().to_owned()).collect();
        let system_namespaces = written.system_namespaces.unwrap_or_else(|| vec!["kube-system".into()]);
        for (key, name) in global_namespaces
            .iter()
            .map(|name| ("globalNamespaces", name))
            .chain(system_namespaces.iter().map(|name| ("systemNamespaces", name)))
            .chain([("multusNamespace", &multus_namespace)])
        {
            if !is_dns_label(name) {
                return Err(wrong(key, &format!("{name:?} is not the name of a namespace")));
            }
        }
        let bin_dir = written.bin_dir.unwrap_or_else(|| "/opt/cni/bin".into());
        if bin_dir.len() > PATH_LIST_BYTES_MAX {
            return Err(wrong("binDir", &format!("it has more than {PATH_LIST_BYTES_MAX} bytes")));
        }
        let auxiliary_chain = written.auxiliary_chain.filter(|name| !name.is_empty());
        if let Some(name) = &auxiliary_chain {
            check_auxiliary(name, &default_network)?;
        }
        let indicator = written.readiness_indicator_file.filter(|path| !path.is_empty());
        if let Some(path) = indicator.as_ref().filter(|path| !is_path(path)) {
            return Err(wrong("readinessindicatorfile", &format!("{path:?} is not an absolute path")));
        }
        Ok(Self {
            version,
            name,
            default_network,
            default_networks: written.default_networks,
            namespace_isolation: written.namespace_isolation,
            global_namespaces,
            system_namespaces,
            multus_namespace,
            conf_dir: written.conf_dir.unwrap_or_else(|| "/etc/cni/multus/net.d".into()),
            bin_dir: bin_dir.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).collect(),
            auxiliary_chain,
            readiness_indicator_file: indicator,
            runtime_config: written.runtime_config,
        })
    }
}

/// Whether `text` is an absolute path that the kernel would take.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= DIRECTORY_PATH_BYTES_MAX && !text.contains('\0')
}

/// The chain's name is that of a directory beside the file that `clusterNetwork` names.
fn check_auxiliary(name: &str, default_network: &DefaultNetwork) -> Result<(), CniError> {
    const KEY: &str = "auxiliaryCNIChainName";
    check_network_name(name).map_err(|error| wrong(KEY, &error.to_string()))?;
    match default_network {
        DefaultNetwork::Cluster(reference) if reference.contains('/') => Ok(()),
        _ => Err(wrong(
            KEY,
            "the chain's files lie beside the file of \"clusterNetwork\", which must be a path",
        )),
    }
}

/// The inline configs; one without a name has the meta-plugin's, one without a version too.
fn inline(delegates: Vec<Object>, name: &str, version: Version) -> Result<Vec<NetworkConfigList>, CniError> {
    if delegates.is_empty() || delegates.len() > NETWORKS_MAX {
        let why = format!(
            "found {} networks; put the default network there, or name it in \"clusterNetwork\" (at most {NETWORKS_MAX})",
            delegates.len()
        );
        return Err(wrong("delegates", &why));
    }
    delegates
        .into_iter()
        .enumerate()
        .map(|(at, delegate)| {
            NetworkConfigList::from_object(delegate, Some(name), Some(version))
                .map_err(|error| error.within(format!("{META_TYPE}: delegates[{at}]")))
        })
        .collect()
}

fn wrong(key: &str, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("{META_TYPE}: key {key:?} cannot be used")).because(why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(mut more: Value) -> Result<MetaConfig, CniError> {
        more["cniVersion"] = json!("1.0.0");
        more["name"] = json!("multus-cni-network");
        more["type"] = json!("plexus");
        MetaConfig::parse(&more.to_string(), &Object::new())
    }

    #[test]
    fn the_nodes_own_config_replaces_the_runtimes_key_by_key_but_for_what_is_of_the_call() {
        let text = json!({
            "cniVersion": "1.0.0", "name": "n", "type": "plexus", "clusterNetwork": "lab", "namespaceIsolation": false,
            "confDir": "/mine",
        });
        let overlay = json!({
            "namespaceIsolation": true, "globalNamespaces": "a, b", "cniVersion": "0.3.1", "name": "x",
            "runtimeConfig": {"mac": "02:00:00:00:00:01"},
        });
        let meta = MetaConfig::parse(&text.to_string(), overlay.as_object().unwrap()).unwrap();
        assert!(meta.namespace_isolation && meta.conf_dir == "/mine" && meta.runtime_config.is_empty());
        assert_eq!((meta.version, &*meta.name), (Version::V1_0_0, "n"));
        assert_eq!(meta.global_namespaces, ["a", "b"]);
    }

    #[test]
    fn an_auxiliary_chain_needs_a_cluster_network_with_a_path() {
        let chain = |network: &str, name: &str| {
            parse(json!({"clusterNetwork": network, "auxiliaryCNIChainName": name}))
        };
        let path = "/etc/cni/net.d/10-flannel.conflist";
        assert_eq!(chain(path, "vendor").unwrap().auxiliary_chain.as_deref(), Some("vendor"));
        assert_eq!(chain("lab", "").unwrap().auxiliary_chain, None);
        for (network, name) in [("lab", "vendor"), (path, "../x"), (path, "a/b")] {
            assert!(
                chain(network, name).unwrap_err().msg.contains("auxiliaryCNIChainName"),
                "{network} {name}"
            );
        }
    }

    #[test]
    fn a_readiness_indicator_is_an_absolute_path() {
        let indicator = |path: &str| parse(json!({"clusterNetwork": "lab", "readinessindicatorfile": path}));
        let meta = indicator("/run/flannel/subnet.env").unwrap();
        assert_eq!(meta.readiness_indicator_file.as_deref(), Some("/run/flannel/subnet.env"));
        assert_eq!(indicator("").unwrap().readiness_indicator_file, None);
        assert!(indicator("subnet.env").unwrap_err().msg.contains("readinessindicatorfile"));
    }

    #[test]
    fn the_defaults_are_those_of_multus() {
        let meta = parse(json!({"clusterNetwork": "lab", "delegates": [{"type": "x"}]})).unwrap();
        assert_eq!(meta.default_network, DefaultNetwork::Cluster("lab".into()));
        assert_eq!(
            (&*meta.global_namespaces, &*meta.multus_namespace),
            (&["default".to_owned()][..], "kube-system")
        );
        assert!(!meta.namespace_isolation);
    }

    #[test]
    fn an_inline_delegate_inherits_name_and_version() {
        let meta = parse(json!({"delegates": [{"type": "macvlan"}]})).unwrap();
        let DefaultNetwork::Inline(list) = meta.default_network else { panic!("inline expected") };
        assert_eq!((&*list[0].name, list[0].version), ("multus-cni-network", Version::V1_0_0));
    }

    #[test]
    fn a_config_without_a_default_network_names_the_keys() {
        let error = parse(json!({})).unwrap_err();
        assert!(error.msg.contains("delegates") && error.details.contains("clusterNetwork"), "{error}");
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (key, value) in [
            ("globalNamespaces", json!("a,B")),
            ("systemNamespaces", json!(["../x"])),
            ("multusNamespace", json!("")),
            ("namespaceIsolation", json!("yes")),
            ("defaultNetworks", json!("a")),
        ] {
            let error = parse(json!({"clusterNetwork": "lab", key: value})).unwrap_err();
            assert!(error.msg.contains(key), "{error}");
        }
    }
}
