//! The script that a guest goes on with: variables and what is to be run, then `guest.sh`.

use std::env;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::Guest;
use super::command_line::SHARED_TAG;
use crate::paths::{CACHE_VARIABLE, Workspace};

const SCRIPT: &str = include_str!("guest.sh");
/// Says to tests that the whole machine is theirs, and which kernel it has.
const SERIES_VARIABLE: &str = "PLEXUS_VM";
/// Variables of ours that hold inside as well. Not `RUST_BACKTRACE`: to read a test program's places takes an emulated
/// processor a quarter of a minute.
const PASSED_ON: [&str; 4] = ["CNI_REFERENCE_BIN", "KUBEBUILDER_ASSETS", "PLEXUS_HELM", "RUST_LOG"];

/// The whole script.
pub(super) fn text(guest: &Guest<'_>, workspace: &Workspace) -> Result<String> {
    let modprobe = guest.tools.path("modprobe").context("modprobe is missing")?;
    let mut variables = vec![
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME", "/root".to_owned()),
        (SERIES_VARIABLE, guest.series.name().to_owned()),
        ("CARGO_MANIFEST_DIR", workspace.root().join("xtask").display().to_string()),
        (CACHE_VARIABLE, workspace.cache().display().to_string()),
        ("GUEST_SHARED", guest.shared.display().to_string()),
        ("GUEST_SHARED_TAG", SHARED_TAG.to_owned()),
        ("GUEST_MODULES", guest.kernel.modules.display().to_string()),
        ("GUEST_MODPROBE", modprobe.display().to_string()),
        ("GUEST_LIBRARIES", guest.tools.library_path()),
    ];
    let passed_on = PASSED_ON.iter().filter_map(|&name| Some((name, env::var(name).ok()?)));
    variables.extend(passed_on);
    let mut text = String::new();
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    let command: Vec<String> = guest.command.iter().map(|word| quoted(word)).collect();
    writeln!(text, "set -- {}", command.join(" "))?;
    Ok(text + SCRIPT)
}

/// A word that the shell takes as it is.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_the_shell() {
        let word = "it's $HOME; `x`";
        let mut shell = std::process::Command::new("sh");
        let said = crate::run::output("say it", shell.args(["-c", &format!("printf %s {}", quoted(word))]));
        assert_eq!(said.unwrap(), word);
    }
}
