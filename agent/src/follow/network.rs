//! What of a network's new config reaches a running attachment.

use plexus_cni::CniError;
use plexus_cni::config::{NetworkConfigList, PluginConfig};
use serde_json::json;

use crate::plugin::{Plugin, check_config, chosen};
use crate::record::Attachment;

/// Takes the keys over that plugins follow. The n-th plugin of a type is the n-th of that type in the new config; one that has
/// no counterpart stays as it is.
///
/// Errors: the new config is wrong in any of its plugins. Then nothing of it is taken.
pub(super) fn merge(attachment: &mut Attachment, config: &str) -> Result<(), CniError> {
    let version = Some(attachment.cni_version());
    let new = NetworkConfigList::parse(config, Some(&attachment.network), version)?;
    new.plugins.iter().try_for_each(check_config)?;
    let mut old =
        NetworkConfigList::from_object(attachment.config.clone(), Some(&attachment.network), version)?;
    let mut is_changed = false;
    for index in 0..old.plugins.len() {
        let Some(keys) = live_keys(attachment, &old.plugins[index]) else { continue };
        let plugin_type = old.plugins[index].plugin_type();
        let place = old.plugins[..index].iter().filter(|plugin| plugin.plugin_type() == plugin_type).count();
        let mut counterparts = new.plugins.iter().filter(|plugin| plugin.plugin_type() == plugin_type);
        let Some(new) = counterparts.nth(place).filter(|new| chosen(new).is_some()) else { continue };
        is_changed |= take(&mut old.plugins[index], new, keys);
    }
    if is_changed {
        attachment.config.insert("plugins".into(), json!(old.plugins));
    }
    Ok(())
}

/// The keys that this plugin of the attachment follows, if it is ours and has what it acts on.
pub(super) fn live_keys(attachment: &Attachment, plugin: &PluginConfig) -> Option<&'static [&'static str]> {
    let native: &dyn Plugin = chosen(plugin)?;
    let keys = native.live_keys(plugin);
    (!keys.is_empty() && (attachment.port_id.is_some() || !native.needs_port())).then_some(keys)
}

/// Takes the keys from `new`, those that it lacks included; whether anything differed.
fn take(old: &mut PluginConfig, new: &PluginConfig, keys: &[&str]) -> bool {
    let mut is_changed = false;
    for key in keys {
        if old.0.get(*key) == new.0.get(*key) {
            continue;
        }
        is_changed = true;
        match new.0.get(*key) {
            Some(value) => old.0.insert((*key).to_owned(), value.clone()),
            None => old.0.shift_remove(*key),
        };
    }
    is_changed
}
