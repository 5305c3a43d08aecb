//! The eBPF objects: compiled for `bpfel-unknown-none` on the stable toolchain, only when their sources changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{copy_if_changed, files_below};
use crate::paths::Workspace;
use crate::toolchain::Toolchain;
use crate::{run, setup};

const TARGET: &str = "bpfel-unknown-none";

/// Builds the objects of data plane and benchmarks unless those there came from the same sources, flags and compiler.
pub(crate) fn objects(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let objects =
        [("plexus-datapath", workspace.bpf_object()), ("plexus-measure", workspace.bpf_measure_object())];
    let stamp = workspace.bpf_object().with_extension("o.inputs");
    let inputs = inputs_hash(workspace, toolchain)?;
    if objects.iter().all(|(_, object)| object.is_file())
        && fs::read_to_string(&stamp).is_ok_and(|previous| previous == inputs)
    {
        return Ok(());
    }
    let mut command = cargo(workspace, toolchain, "build")?;
    command.args(["--release", "--bins"]);
    run::shown("build the eBPF objects", &mut command)?;
    for (name, object) in &objects {
        copy_if_changed(&target_dir(workspace).join(TARGET).join("release").join(name), object)?;
    }
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))
}

/// `cargo VERB` for the eBPF crate on the eBPF target, with the environment that makes the stable toolchain do it.
pub(crate) fn cargo(workspace: &Workspace, toolchain: &Toolchain, verb: &str) -> Result<Command> {
    let library = setup::library_path(workspace, toolchain)?
        .context("rust-src is missing: `cargo xtask setup` says how to get it")?;
    let mut command = run::cargo();
    command
        .current_dir(workspace.root())
        .args([verb, "--locked", "--package", "plexus-ebpf", "--target", TARGET, "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(target_dir(workspace))
        // -Z flags on a stable compiler: https://doc.rust-lang.org/cargo/reference/unstable.html#build-std
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", library)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", setup::linker_path(workspace))
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(toolchain)?.join("\u{1f}"));
    for (setting, value) in PROFILE {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    Ok(command)
}

/// One program wants other settings than a host binary: inlined across crates, and the debug information kept, which
/// is where BTF comes from.
const PROFILE: [(&str, &str); 4] =
    [("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("DEBUG", "2"), ("STRIP", "none")];

fn rustflags(toolchain: &Toolchain) -> Result<Vec<String>> {
    Ok(vec![
        format!("--cfg=bpf_target_arch=\"{}\"", toolchain.arch()?),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // 32-bit registers and atomics with a result (compare and exchange), which the policer needs.
        "-Ctarget-cpu=v3".into(),
    ])
}

fn target_dir(workspace: &Workspace) -> PathBuf {
    workspace.target().join("bpf-build")
}

/// One text for everything the object depends on.
fn inputs_hash(workspace: &Workspace, toolchain: &Toolchain) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    toolchain.description().hash(&mut hasher);
    rustflags(toolchain)?.hash(&mut hasher);
    PROFILE.hash(&mut hasher);
    setup::linker_path(workspace).hash(&mut hasher);
    let root = workspace.root();
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    files.extend(files_below(&root.join("ebpf"))?);
    for file in files {
        file.strip_prefix(root)?.hash(&mut hasher);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}
