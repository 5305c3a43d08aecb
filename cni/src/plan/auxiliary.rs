//! The auxiliary chain: plugins that other agents of the node put beside the default network's file, to be run for every
//! pod without an interface of their own.

use serde_json::{Value, json};

use crate::authorize::Lookup;
use crate::config::NetworkConfigList;
use crate::error::CniError;
use crate::json::Object;
use crate::meta::{DefaultNetwork, MetaConfig};

/// The type of the plugin that does nothing, so that the chain has a head.
const PASSTHRU_TYPE: &str = "passthru";

/// The chain, if the config names one and there is at least one file of it (Multus' rule).
pub(super) fn chain(meta: &MetaConfig, lookup: &dyn Lookup) -> Result<Option<NetworkConfigList>, CniError> {
    let (Some(name), DefaultNetwork::Cluster(path)) = (&meta.auxiliary_chain, &meta.default_network) else {
        return Ok(None);
    };
    let named = |error: CniError| error.within(format!("key \"auxiliaryCNIChainName\": chain {name:?}"));
    let files = lookup.auxiliary(path, name).map_err(named)?;
    if files.is_empty() {
        return Ok(None);
    }
    let head = json!({"type": PASSTHRU_TYPE});
    let plugins: Vec<Value> = [head].into_iter().chain(files.into_iter().map(Value::Object)).collect();
    let mut document = Object::new();
    document.insert("name".into(), name.clone().into());
    document.insert("plugins".into(), plugins.into());
    NetworkConfigList::from_object(document, None, Some(meta.version)).map(Some).map_err(named)
}
