//! What the shim must know of the config on stdin before it asks anybody.

use serde_json::Value;

use crate::config::PluginConfig;
use crate::env::Command;
use crate::error::{CniError, Code};
use crate::json::{self, parse_object};
use crate::limits::{DIRECTORY_PATH_BYTES_MAX, SOCKET_PATH_BYTES_MAX};
use crate::name::check_network_name;
use crate::version::Version;

/// The config of one call, checked as far as that is possible without the agent.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinConfig {
    /// The version in which the runtime is answered.
    pub version: Version,
    /// The network's name.
    pub name: String,
    /// The plugin's type; `plexus` is the meta-plugin.
    pub plugin_type: String,
    /// The agent's socket, if the config names one.
    pub socket: Option<String>,
    /// The state directory, if the config names one.
    pub state_dir: Option<String>,
    /// The config, byte for byte.
    pub text: String,
}

impl StdinConfig {
    /// Checks version, name and type (C009 to C013, C029) and that `command` exists in that version (C097, C104, C118).
    pub fn parse(bytes: &[u8], command: Command) -> Result<Self, CniError> {
        const WHAT: &str = "network config on stdin";
        let object = parse_object(bytes, WHAT)?;
        let version = Version::from_config(object.get("cniVersion"))?;
        command.exists_in(version)?;
        let name = json::string(&object, "name", WHAT)?.unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(CniError::new(Code::InvalidConfig, format!("{WHAT}: key \"name\" is missing"))
                .because("every network has a name; put one into the config"));
        }
        check_network_name(&name)?;
        let path = |key: &str, bytes_max| absolute_path(json::string(&object, key, WHAT)?, key, bytes_max);
        let socket = path("socket", SOCKET_PATH_BYTES_MAX)?;
        let state_dir = path("stateDir", DIRECTORY_PATH_BYTES_MAX)?;
        let config = PluginConfig::new(object)?;
        let text = str::from_utf8(bytes)
            .map_err(|error| CniError::new(Code::Decoding, WHAT).because(error.to_string()))?;
        Ok(Self {
            version,
            name,
            plugin_type: config.plugin_type().to_owned(),
            socket,
            state_dir,
            text: text.to_owned(),
        })
    }
}

/// The version in which an answer to this stdin must be given, as far as it can be told: errors carry it (C004).
pub fn version_of(bytes: &[u8]) -> Option<Version> {
    let object = parse_object(bytes, "stdin").ok()?;
    Version::from_config(object.get("cniVersion")).ok()
}

/// The answer to VERSION (C035, C036): the input's `cniVersion` where it holds one, else the newest.
pub fn version_answer(bytes: &[u8]) -> String {
    /// Longer than any version; what is longer is no version.
    const VERSION_BYTES_MAX: usize = 32;
    let object = parse_object(bytes, "stdin").unwrap_or_default();
    let asked = match object.get("cniVersion") {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= VERSION_BYTES_MAX => text,
        _ => Version::NEWEST.as_str(),
    };
    let spoken: Vec<_> = Version::ALL.iter().map(|version| version.as_str()).collect();
    serde_json::json!({"cniVersion": asked, "supportedVersions": spoken}).to_string()
}

fn absolute_path(path: Option<&str>, key: &str, bytes_max: usize) -> Result<Option<String>, CniError> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    if path.starts_with('/') && !path.contains('\0') && path.len() <= bytes_max {
        return Ok(Some(path.to_owned()));
    }
    Err(CniError::new(Code::InvalidConfig, format!("key {key:?} cannot be used"))
        .because(format!("{path:?} is not an absolute path of at most {bytes_max} bytes")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: &Value, command: Command) -> Result<StdinConfig, CniError> {
        StdinConfig::parse(value.to_string().as_bytes(), command)
    }

    #[test]
    fn c010_c011_a_config_needs_a_name_that_is_no_path() {
        for name in [json!(null), json!(""), json!("../x"), json!(".x"), json!("a/b"), json!(7)] {
            let conf = json!({"cniVersion": "1.0.0", "name": name, "type": "plexus"});
            assert_eq!(parse(&conf, Command::Add).unwrap_err().code, Code::InvalidConfig, "{name}");
        }
    }

    #[test]
    fn c097_c104_c118_a_verb_that_the_version_lacks_is_refused() {
        for (command, too_old, old_enough) in [
            (Command::Check, "0.3.1", "0.4.0"),
            (Command::Gc, "1.0.0", "1.1.0"),
            (Command::Status, "1.0.0", "1.1.0"),
        ] {
            let conf = |version| json!({"cniVersion": version, "name": "n", "type": "plexus"});
            assert_eq!(parse(&conf(too_old), command).unwrap_err().code, Code::IncompatibleVersion);
            assert!(parse(&conf(old_enough), command).is_ok());
        }
    }

    #[test]
    fn a_socket_that_is_no_absolute_path_is_named() {
        let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "plexus", "socket": "x.sock"});
        assert!(parse(&conf, Command::Add).unwrap_err().msg.contains("socket"));
    }

    #[test]
    fn c036_version_repeats_the_inputs_version() {
        for (input, expected) in
            [(&b""[..], "1.1.0"), (b"{\"cniVersion\":\"0.4.0\"}", "0.4.0"), (b"[", "1.1.0")]
        {
            let answer: Value = serde_json::from_str(&version_answer(input)).unwrap();
            assert_eq!(answer["cniVersion"], expected);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(StdinConfig::parse(&bytes, Command::Add).is_err());
            prop_assert!(version_answer(&bytes).contains("supportedVersions"));
        }
    }
}
