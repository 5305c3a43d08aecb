//! Test programs: compiled by cargo, which says where they are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::build::copy_if_changed;
use crate::paths::Workspace;
use crate::run;

/// Binaries that tests execute from `PLEXUS_BIN_DIR`, beside the shim.
const EXECUTED_BY_TESTS: [&str; 2] = ["plexusd", "plexusctl"];

/// One compiled test program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TestBinary {
    /// The target's name: `plexus_cni` for a library, the file's name for an integration test.
    pub(super) name: String,
    /// Whether it is a file of a `tests` directory.
    pub(super) is_integration: bool,
    /// The program.
    pub(super) executable: PathBuf,
    /// Directory of the package, where cargo too would start it.
    pub(super) package_dir: PathBuf,
}

impl TestBinary {
    /// Names of its tests, each with whether it is marked `#[ignore]`.
    pub(super) fn list(&self) -> Result<Vec<(String, bool)>> {
        let names = |arguments: &[&str]| -> Result<Vec<String>> {
            let mut command = Command::new(&self.executable);
            command.current_dir(&self.package_dir).args(["--list", "--format", "terse"]).args(arguments);
            let listing = run::output(&format!("list the tests of {}", self.name), &mut command)?;
            Ok(listing.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
        };
        let ignored = names(&["--ignored"])?;
        Ok(names(&[])?
            .into_iter()
            .map(|name| {
                let is_ignored = ignored.contains(&name);
                (name, is_ignored)
            })
            .collect())
    }
}

/// Compiles all tests of the host crates with every test-only feature, and of the eBPF crate's library.
///
/// plexusd and plexusctl, built with the same features, are put beside the shim in the tests' binary directory.
pub(super) fn compile(workspace: &Workspace) -> Result<Vec<TestBinary>> {
    let mut binaries = Vec::new();
    for selection in [&["--all-features"][..], &["--package", "plexus-ebpf", "--lib"]] {
        for artifact in artifacts(workspace, selection)? {
            let Some(executable) = artifact["executable"].as_str().map(Path::new) else { continue };
            let name = artifact["target"]["name"].as_str().context("cargo named no target of a program")?;
            if artifact["profile"]["test"] == true {
                binaries.push(test_binary(&artifact, name, executable)?);
            } else if EXECUTED_BY_TESTS.contains(&name) {
                copy_if_changed(executable, &workspace.test_bin_dir().join(name))?;
            }
        }
    }
    Ok(binaries)
}

fn test_binary(artifact: &Value, name: &str, executable: &Path) -> Result<TestBinary> {
    let manifest = artifact["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    Ok(TestBinary {
        name: name.to_owned(),
        is_integration: artifact["target"]["kind"][0] == "test",
        executable: executable.to_path_buf(),
        package_dir: manifest.context("cargo named no package of a test program")?.to_path_buf(),
    })
}

/// The `compiler-artifact` messages of `cargo test --no-run`:
/// <https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>.
fn artifacts(workspace: &Workspace, selection: &[&str]) -> Result<Vec<Value>> {
    let mut command = run::cargo();
    command
        .current_dir(workspace.root())
        .args(["test", "--no-run", "--locked", "--message-format=json-render-diagnostics", "--target-dir"])
        .arg(workspace.target())
        .args(selection)
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot compile the tests: starting cargo failed")?;
    if !output.status.success() {
        bail!("cannot compile the tests: the compiler's messages are above");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("cargo wrote a line that is no JSON: {line}"))
        })
        .filter(|message: &Result<Value>| {
            message.as_ref().map_or(true, |m| m["reason"] == "compiler-artifact")
        })
        .collect()
}
