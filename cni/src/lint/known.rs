//! The networks among the given files, as the planner asks for them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::object::{Object, Subject};
use crate::authorize::Lookup;
use crate::config::NetworkConfigList;
use crate::daemon_config::DaemonConfig;
use crate::error::CniError;
use crate::json::Object as Keys;
use crate::meta::MetaConfig;
use crate::nad::NetworkAttachmentDefinition;
use crate::version::Version;

/// What the given files say about the cluster and its nodes.
pub(super) struct Known {
    nads: BTreeMap<(String, String), NetworkAttachmentDefinition>,
    names: BTreeSet<(String, String)>,
    /// The node's config, as far as it was given.
    pub(super) meta: Option<MetaConfig>,
}

/// Stands in for a network that was not given: it takes whatever a pod asks of it.
const ANY: &str = r#"{"cniVersion": "1.0.0", "type": "any", "ipam": {"type": "any"}, "capabilities":
    {"bandwidth": true, "portMappings": true, "infinibandGUID": true, "deviceID": true, "ips": true, "mac": true}}"#;

impl Known {
    /// Takes networks and node configs from the objects; what is broken counts as not given.
    pub(super) fn of(objects: &[Object<'_>]) -> Self {
        let (mut nads, mut names) = (BTreeMap::new(), BTreeSet::new());
        let (mut runtimes, mut overlay) = (None, Keys::new());
        for object in objects {
            match object.subject {
                Subject::Network => {
                    let nad = serde_json::from_value::<NetworkAttachmentDefinition>(object.value.clone());
                    let Ok(nad) = nad else { continue };
                    let key = (nad.namespace.clone(), nad.name.clone());
                    names.insert(key.clone());
                    let text = nad.config.as_deref().unwrap_or(ANY);
                    if NetworkConfigList::parse(text, Some(&nad.name), Some(Version::V1_0_0)).is_ok() {
                        nads.insert(key, nad);
                    }
                }
                Subject::Multus => {
                    let Value::Object(document) = &object.value else { continue };
                    let config = DaemonConfig::from_object(document.clone(), object.lines(), "");
                    overlay.extend(config.map(|config| config.meta_overlay()).unwrap_or_default());
                }
                Subject::Meta => runtimes = runtimes.or(Some(object.value.to_string())),
                _ => {}
            }
        }
        // Networks of the node are not known here, so the default one stands for any.
        overlay.insert("clusterNetwork".into(), "any".into());
        for key in ["defaultNetworks", "delegates", "auxiliaryCNIChainName"] {
            overlay.insert(key.into(), Value::Null);
        }
        let plain = json!({"cniVersion": "1.1.0", "name": "check", "type": "plexus"}).to_string();
        let meta = runtimes.and_then(|text| MetaConfig::parse(&text, &overlay).ok());
        let meta = meta.or_else(|| MetaConfig::parse(&plain, &overlay).ok());
        Self { nads, names, meta }
    }

    /// Whether a network of that name was among the files.
    pub(super) fn is_given(&self, namespace: &str, name: &str) -> bool {
        self.names.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether any network was given.
    pub(super) fn has_networks(&self) -> bool {
        !self.names.is_empty()
    }
}

impl Lookup for Known {
    fn nad(&self, namespace: &str, name: &str) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
        let given = self.nads.get(&(namespace.to_owned(), name.to_owned())).cloned();
        Ok(Some(given.unwrap_or_else(|| NetworkAttachmentDefinition {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            config: Some(ANY.to_owned()),
            ..NetworkAttachmentDefinition::default()
        })))
    }

    fn has_nad(&self, namespace: &str, name: &str) -> bool {
        self.is_given(namespace, name)
    }

    fn file(&self, _reference: &str) -> Result<Option<String>, CniError> {
        Ok(Some(ANY.replacen('{', r#"{"name": "any", "#, 1)))
    }
}
