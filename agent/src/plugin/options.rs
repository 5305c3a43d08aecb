//! The object `"plexus": {…}` in a plugin's config: options that have no standard key.

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::bandwidth::shaping;
use super::{PluginCall, fastpath, native, parent, route_override};

/// Options of the guard, for main plugins whose standard keys have none that works on every kind of interface.
const GUARDS: [&str; 2] = ["macspoofchk", "ipspoofchk"];
/// Plugins whose devices are children of a link.
const HAS_PARENT: [&str; 3] = ["macvlan", "ipvlan", "vlan"];

impl PluginCall<'_> {
    /// As [`check_options`], for this call.
    pub fn check_options(&self) -> Result<(), CniError> {
        check_options(self.config)
    }

    /// Whether frames with another hardware address, and packets with another address than the pod's are dropped.
    pub(super) fn guards(&self) -> [bool; 2] {
        let options = self.config.0.get("plexus");
        GUARDS.map(|key| options.and_then(|options| options.get(key)) == Some(&Value::Bool(true)))
    }
}

/// Refuses an option that is not known here; unknown keys anywhere else are somebody else's and are kept.
pub(super) fn check_options(config: &PluginConfig) -> Result<(), CniError> {
    let plugin = config.plugin_type();
    // fastpath has standard-looking keys of its own for it.
    let has_guards = plugin != "fastpath" && native(plugin).is_some_and(super::Plugin::creates_interface);
    for (key, value) in plexus_cni::json::object(&config.0, "plexus", plugin)?.into_iter().flatten() {
        let wrong = |why: &str| {
            Err(CniError::new(Code::UnsupportedField, format!("{plugin}: key \"plexus.{key}\" is {value}"))
                .because(why.to_owned()))
        };
        match (&**key, value) {
            ("exec", Value::Bool(_)) => {}
            ("dataplane", _) => {
                return wrong("it is a key of route-override itself: put it beside \"type\"");
            }
            ("exec", _) => return wrong("it must be true (execute the binary) or false"),
            // The plugins themselves read them, and say what is wrong with them.
            (route_override::ROUTES | route_override::FROM, _) if plugin == "route-override" => {}
            (shaping::OPTION, _) if plugin == "bandwidth" => {}
            _ if plugin == "bandwidth" => {
                return wrong("the options there are \"exec\" and \"shaping\"; correct or remove it");
            }
            (key, Value::Bool(_)) if has_guards && GUARDS.contains(&key) => {}
            (key, _) if has_guards && GUARDS.contains(&key) => {
                return wrong("it must be true (drop what the pod sends under another address) or false");
            }
            // The plugin itself reads it, and says what is wrong with it.
            (parent::OPTION, _) if HAS_PARENT.contains(&plugin) => {}
            (key, _) if plugin == "fastpath" && fastpath::OPTIONS.contains(&key) => {}
            _ if plugin == "fastpath" => {
                return wrong(
                    "the options there are \"exec\", \"learning\", \"ageing_s\", \"outer_vlan\", \"mode\" and \"link\"; \
                     correct or remove it",
                );
            }
            _ if has_guards => {
                return wrong(
                    "the options there are \"exec\", \"macspoofchk\", \"ipspoofchk\" and, for a child of a link, \
                     \"parent\"; correct or remove it",
                );
            }
            _ if plugin == "route-override" => {
                return wrong(
                    "the options there are \"exec\", \"routes\" and \"from\"; correct or remove it",
                );
            }
            _ => return wrong("the only option there is \"exec\"; correct or remove it"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(config: &Value) -> Result<(), CniError> {
        check_options(&PluginConfig(config.as_object().cloned().unwrap_or_default()))
    }

    #[test]
    fn learning_and_stacked_vlans_are_fastpaths_alone() {
        let options = json!({"learning": true, "ageing_s": 60, "outer_vlan": 7, "mode": "l2"});
        check(&json!({"type": "fastpath", "plexus": options})).unwrap();
        assert!(check(&json!({"type": "bridge", "plexus": options})).is_err());
        assert!(check(&json!({"type": "fastpath", "plexus": {"learn": true}})).is_err());
    }

    #[test]
    fn guards_are_for_main_plugins_that_have_no_keys_of_their_own() {
        let guard = json!({"macspoofchk": true, "ipspoofchk": false});
        check(&json!({"type": "macvlan", "plexus": guard})).unwrap();
        check(&json!({"type": "bridge", "plexus": guard})).unwrap();
        for refused in ["fastpath", "bandwidth", "somebodys"] {
            assert!(check(&json!({"type": refused, "plexus": guard})).is_err(), "{refused}");
        }
        assert!(check(&json!({"type": "macvlan", "plexus": {"macspoofchk": "on"}})).is_err());
        assert!(check(&json!({"type": "macvlan", "plexus": {"spoofchk": true}})).is_err());
    }
}
