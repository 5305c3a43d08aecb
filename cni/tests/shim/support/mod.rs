//! What the tests share: the shim as a process, an agent with a script, and a throw-away network namespace.

mod agent;
mod plugin;
mod pod;
mod process;

pub(crate) use agent::{FakeAgent, Step};
pub(crate) use plugin::{Plugins, make_executable};
pub(crate) use pod::PodNetns;
pub(crate) use process::{Ended, Shim, file_with};

use std::io::Write as _;

use serde_json::{Value, json};

/// A config for the meta-plugin.
pub(crate) fn config(version: &str) -> String {
    json!({"cniVersion": version, "name": "net", "type": "plexus"}).to_string()
}

/// The config with further keys.
pub(crate) fn config_with(more: &Value) -> String {
    let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": "plexus"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

/// Says loudly that the running test cannot run here.
pub(crate) fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
    let Some(list) = std::env::var_os("PLEXUS_TEST_SKIPS") else { return };
    let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
    writeln!(file, "{name}\t{reason}").unwrap();
}
