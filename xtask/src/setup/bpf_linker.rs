//! bpf-linker: turns the bitcode of the eBPF crate into one object with BTF.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::paths::Workspace;
use crate::run;
use crate::toolchain::Toolchain;

/// The newest release for [`LLVM_MAJOR`]; see docs/ebpf-toolchain.md.
const VERSION: &str = "0.10.3";
/// The LLVM that the pinned compiler carries; the linker reads bitcode with that very library.
const LLVM_MAJOR: &str = "22";

/// Where the linker is installed, or will be.
pub(crate) fn linker_path(workspace: &Workspace) -> PathBuf {
    install_root(workspace).join("bin/bpf-linker")
}

fn install_root(workspace: &Workspace) -> PathBuf {
    workspace.cache().join(format!("bpf-linker-{VERSION}"))
}

/// Compiles it from the crate registry: three to five minutes on two cores, once per machine.
pub(super) fn install(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let llvm_major = toolchain.llvm_major()?;
    if llvm_major != LLVM_MAJOR {
        bail!(
            "bpf-linker {VERSION} reads bitcode of LLVM {LLVM_MAJOR}, but this compiler has LLVM {llvm_major}: use the \
             toolchain that rust-toolchain.toml pins"
        );
    }
    let mut command = run::cargo();
    command.args(install_arguments()).arg("--root").arg(install_root(workspace));
    without_build_overrides(&mut command);
    run::with_progress(&format!("build bpf-linker {VERSION} (some minutes, once)"), &mut command)
}

/// What a person would type.
pub(super) fn install_command(workspace: &Workspace) -> String {
    format!("cargo {} --root {}", install_arguments().join(" "), install_root(workspace).display())
}

fn install_arguments() -> [String; 7] {
    [
        "install".into(),
        "bpf-linker".into(),
        format!("--version={VERSION}"),
        "--locked".into(),
        "--force".into(),
        "--no-default-features".into(),
        format!("--features=rust-llvm-{LLVM_MAJOR}"),
    ]
}

/// Flags and target directories meant for Plexus must not leak into a tool's build.
fn without_build_overrides(command: &mut Command) {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
}
