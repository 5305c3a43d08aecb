//! Configs of the node: Multus' daemon config, and the runtime's config for the meta-plugin.

use serde_json::Value;

use super::Plugins;
use super::finding::{Finding, Severity};
use super::network::network;
use super::object::{Object, Subject};
use crate::daemon_config::{DaemonConfig, Effect};
use crate::json::Object as Keys;
use crate::lines::child;
use crate::meta::MetaConfig;

/// Keys that are not Multus': our own, and those of CNI.
const OWN: &[&str] =
    &["socket", "stateDir", "plugins", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "cniVersions"];

/// A config with Multus' keys.
pub(super) fn check(object: &Object<'_>, plugins: &dyn Plugins, findings: &mut Vec<Finding>) {
    let (object, value) = (object, inner(&object.value));
    let Value::Object(document) = value else { return };
    let prefix = if object.value.get("plugins").is_some() { "/plugins/0" } else { "" };
    let config = match DaemonConfig::from_object(document.clone(), object.lines().under(prefix), "config") {
        Ok(config) => config,
        Err(error) => {
            findings.push(object.error(prefix, &error, "correct the value; plexusd does not take it"));
            return;
        }
    };
    for note in config.notes() {
        let pointer = child(prefix, note.key);
        let (severity, what) = match note.effect {
            Effect::Unknown if OWN.contains(&note.key) => continue,
            Effect::Honoured => continue,
            Effect::Changed => (Severity::Note, format!("key {:?}: here Plexus does otherwise", note.key)),
            Effect::Ignored => (Severity::Note, format!("key {:?} does nothing with Plexus", note.key)),
            Effect::Unknown => (Severity::Warning, format!("key {:?} is unknown", note.key)),
        };
        findings.push(object.finding(
            severity,
            &pointer,
            &what,
            note.why,
            "it may stay as it is, or be removed",
        ));
    }
    if object.subject == Subject::Meta {
        meta(object, document, findings);
    }
    for (index, delegate) in config.keys.delegates.iter().flatten().enumerate() {
        let pointer = format!("{prefix}/delegates/{index}");
        network(&object.part(&pointer, Value::Object(delegate.clone())), Some("inline"), plugins, findings);
    }
}

/// The first plugin of a conflist, or the conf itself.
fn inner(value: &Value) -> &Value {
    value.pointer("/plugins/0").unwrap_or(value)
}

/// What a call with this config would be refused for.
fn meta(object: &Object<'_>, document: &Keys, findings: &mut Vec<Finding>) {
    let mut whole = document.clone();
    for key in ["cniVersion", "name"] {
        if let Some(value) = object.value.get(key) {
            whole.insert(key.to_owned(), value.clone());
        }
    }
    if let Err(error) = MetaConfig::parse(&Value::Object(whole).to_string(), &Keys::new()) {
        findings.push(object.error("", &error, "correct it; with this config no pod starts"));
    }
}
