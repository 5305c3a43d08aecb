//! The object `"plexus": {…}` in a plugin's config: options that have no standard key.

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::PluginCall;

impl PluginCall<'_> {
    /// As [`check_options`], for this call.
    pub fn check_options(&self) -> Result<(), CniError> {
        check_options(self.config)
    }
}

/// Refuses an option that is not known here; unknown keys anywhere else are somebody else's and are kept.
pub(super) fn check_options(config: &PluginConfig) -> Result<(), CniError> {
    let plugin = config.plugin_type();
    for (key, value) in plexus_cni::json::object(&config.0, "plexus", plugin)?.into_iter().flatten() {
        let wrong = |why: &str| {
            Err(CniError::new(Code::UnsupportedField, format!("{plugin}: key \"plexus.{key}\" is {value}"))
                .because(why.to_owned()))
        };
        match (&**key, value) {
            ("exec", Value::Bool(_)) => {}
            ("exec", _) => return wrong("it must be true (execute the binary) or false"),
            _ => return wrong("the only option there is \"exec\"; correct or remove it"),
        }
    }
    Ok(())
}
