//! `cargo xtask lint`: format, clippy on both worlds, licences and advisories. Style checks are tests (tests/tidy.rs).

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::build::bpf;
use crate::paths::Workspace;
use crate::toolchain::Toolchain;
use crate::{run, setup};

/// Runs every check even if one fails, so that one run shows all there is to mend.
pub(crate) fn verb(workspace: &Workspace) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_BUILD)?;
    let toolchain = Toolchain::detect()?;
    let mut checks = vec![
        ("format", in_checkout(workspace, &["fmt", "--all", "--check"])),
        ("clippy for this machine", host_clippy(workspace)),
        ("clippy for eBPF", bpf_clippy(workspace, &toolchain)?),
    ];
    if has_cargo_deny() {
        checks
            .push(("licences and advisories", in_checkout(workspace, &["deny", "--all-features", "check"])));
    } else {
        eprintln!("SKIPPED: licences and advisories are not checked: cargo-deny is not installed");
        eprintln!("  to install it: cargo install cargo-deny --locked");
    }
    let mut failed = Vec::new();
    for (name, command) in &mut checks {
        eprintln!("lint: {name}");
        if !run::status(name, command)?.success() {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        println!("lint: clean");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: lint failed: {}; the messages are above", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn in_checkout(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = run::cargo();
    command.current_dir(workspace.root()).args(arguments);
    command
}

fn host_clippy(workspace: &Workspace) -> Command {
    let mut command = in_checkout(
        workspace,
        &["clippy", "--locked", "--keep-going", "--all-targets", "--all-features", "--target-dir"],
    );
    command.arg(workspace.target()).args(["--", "-Dwarnings"]);
    command
}

fn bpf_clippy(workspace: &Workspace, toolchain: &Toolchain) -> Result<Command> {
    let mut command = bpf::cargo(workspace, toolchain, "clippy")?;
    command.args(["--release", "--", "-Dwarnings"]);
    Ok(command)
}

/// Not installed here: building it takes longer than everything else together.
fn has_cargo_deny() -> bool {
    let mut command = run::cargo();
    command.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
