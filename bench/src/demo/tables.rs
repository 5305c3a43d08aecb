//! What plexusctl shows.

use std::process::Command;

use anyhow::{Context as _, Result};
use plexus_agent::lab::command::run;

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
        let is_json = serde_json::from_str::<serde_json::Value>(&json).is_ok();
        screen.expect(is_json, &format!("{name} -o json"), &format!("{} bytes", json.len()));
    }
    Ok(())
}
