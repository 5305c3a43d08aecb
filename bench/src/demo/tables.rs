//! What plexusctl shows.

use std::process::Command;

use anyhow::{Context as _, Result};
use plexus_agent::lab::command::run;
use serde_json::Value;

use super::stage::Stage;
use crate::screen::Screen;

/// Every verb of plexusctl.
const VERBS: [&[&str]; 6] =
    [&["status"], &["pods"], &["ports"], &["counters"], &["networks"], &["explain", "pod-a"]];

/// Prints every table, and checks that the same is there as JSON.
pub(super) fn show(stage: &Stage, screen: &mut Screen) -> Result<()> {
    for verb in VERBS {
        let name = format!("plexusctl {}", verb.join(" "));
        screen.heading(&name);
        let ctl = |output: &str| {
            let mut command = Command::new(stage.binaries.plexusctl());
            command.arg("--socket").arg(stage.host.socket()).args(["-o", output]).args(verb);
            run(&mut command).with_context(|| name.clone())
        };
        screen.block(&ctl("table")?.stdout);
        let json = ctl("json")?.stdout;
        let document = serde_json::from_str::<Value>(&json);
        screen.expect(document.is_ok(), &format!("{name} -o json"), &format!("{} bytes", json.len()));
        if verb == ["networks"] {
            let mode = uplink_xdp(&document.unwrap_or_default());
            screen.expect(mode.starts_with("native"), "XDP runs on the uplink", &mode);
        }
    }
    Ok(())
}

/// How XDP runs on the uplink of the fastpath network.
fn uplink_xdp(networks: &Value) -> String {
    let hooks = networks
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|network| network["fastpath"]["state"]["hooks"].as_array());
    let xdp = hooks.flatten().find(|hook| hook["name"] == "xdp");
    xdp.and_then(|hook| hook["mode"].as_str()).unwrap_or("not there").to_owned()
}
