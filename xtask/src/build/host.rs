//! Binaries for this machine: the static shim, the agent, its tool and the benchmarks.

use std::path::Path;

use anyhow::Result;

use super::{Profile, copy_if_changed};
use crate::paths::Workspace;
use crate::run;
use crate::toolchain::Toolchain;

/// Builds the shim as it is shipped, small and static, and puts it into `directory` as `plexus`.
pub(crate) fn shim(workspace: &Workspace, toolchain: &Toolchain, directory: &Path) -> Result<()> {
    let host = toolchain.host()?;
    let mut command = run::cargo();
    command
        .current_dir(workspace.root())
        .args(["build", "--locked", "--package", "plexus-cni", "--bin", "plexus", "--profile", "shim"])
        // With an explicit target the flag reaches the shim but not build scripts, which cannot be static.
        .args(["--target", host])
        .arg("--target-dir")
        .arg(workspace.target())
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    run::shown("build the shim", &mut command)?;
    copy_if_changed(&workspace.target().join(host).join("shim/plexus"), &directory.join("plexus")).map(drop)
}

/// Builds agent, tool and benchmarks and puts them into [`Workspace::bin_dir`].
pub(crate) fn binaries(workspace: &Workspace, profile: Profile) -> Result<()> {
    // Two runs of cargo: in one, a feature that the benchmarks ask of the agent's library would get into plexusd.
    for (package, names) in
        [("plexus-agent", &["plexusd", "plexusctl"][..]), ("plexus-bench", &["plexus-bench"])]
    {
        let mut command = run::cargo();
        command
            .current_dir(workspace.root())
            .args(["build", "--locked", "--package", package, "--bins", "--target-dir"])
            .arg(workspace.target());
        let built = match profile {
            Profile::Release => {
                command.arg("--release");
                "release"
            }
            Profile::Dev => "debug",
        };
        run::shown(&format!("build {package}"), &mut command)?;
        for name in names {
            copy_if_changed(&workspace.target().join(built).join(name), &workspace.bin_dir().join(name))?;
        }
    }
    Ok(())
}

/// Builds programs, given with their packages, without any need of shared libraries and puts them into `directory`.
///
/// Only the last step differs from [`binaries`]: the flag reaches the linking of the program, and neither build scripts nor
/// the libraries, which are shared with every other build.
pub(crate) fn static_binaries(
    workspace: &Workspace,
    profile: Profile,
    programs: &[(&str, &str)],
    directory: &Path,
) -> Result<()> {
    for (package, name) in programs {
        let mut command = run::cargo();
        command
            .current_dir(workspace.root())
            .args(["rustc", "--locked", "--package", package, "--bin", name, "--target-dir"])
            .arg(workspace.target());
        let built = match profile {
            Profile::Release => {
                command.arg("--release");
                "release"
            }
            Profile::Dev => "debug",
        };
        command.args(["--", "-Ctarget-feature=+crt-static"]);
        run::shown(&format!("build {name} without shared libraries"), &mut command)?;
        copy_if_changed(&workspace.target().join(built).join(name), &directory.join(name))?;
    }
    Ok(())
}
