//! `cargo xtask package`: what a node or an image needs, in one archive.
//!
//! The same checkout and compiler give the same archive: files in order, with the commit's time and no owner.

mod archive;
mod contents;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::args::PackageOptions;
use crate::build::{self, Profile, bpf, copy_if_changed, host};
use crate::paths::Workspace;
use crate::toolchain::Toolchain;
use crate::{run, setup};

/// Programs of the archive: the shim, the agent, its tool, and what measures packets between pods.
const PROGRAMS: [&str; 4] = ["plexus", "plexusd", "plexusctl", "plexus-bench"];
/// All but the shim, with their packages.
const STATIC: [(&str, &str); 3] =
    [("plexus-agent", "plexusd"), ("plexus-agent", "plexusctl"), ("plexus-bench", "plexus-bench")];

/// Builds static programs and packs them with `deploy/`, licence and checksums.
pub(crate) fn verb(workspace: &Workspace, options: &PackageOptions) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_BUILD)?;
    let toolchain = Toolchain::detect()?;
    bpf::objects(workspace, &toolchain)?;
    let bin = workspace.target().join("plexus/static");
    host::shim(workspace, &toolchain, &bin)?;
    let profile = if options.dev { Profile::Dev } else { Profile::Release };
    host::static_binaries(workspace, profile, &STATIC, &bin)?;
    for program in PROGRAMS {
        refuse_dynamic(&bin.join(program))?;
    }
    let name = format!("plexus-{}-{}", env!("CARGO_PKG_VERSION"), toolchain.arch()?);
    let tree = workspace.target().join("plexus/package").join(&name);
    lay_out(workspace, &bin, &tree)?;
    let archive = archive::pack(workspace, &tree, &name)?;
    println!("package: {}", archive.display());
    Ok(ExitCode::SUCCESS)
}

/// A program with an interpreter would need the C library of the image or node that it comes to.
fn refuse_dynamic(program: &Path) -> Result<()> {
    let headers = run::output("look at a program", Command::new("readelf").args(["-lW"]).arg(program))?;
    ensure!(!headers.contains("INTERP"), "{} is not static", program.display());
    Ok(())
}

/// The archive's tree, made anew.
fn lay_out(workspace: &Workspace, bin: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot empty {}", tree.display()))?;
    }
    for program in PROGRAMS {
        copy_if_changed(&bin.join(program), &tree.join("bin").join(program))?;
    }
    for file in contents::files(workspace)? {
        copy_if_changed(&workspace.root().join(&file), &tree.join(&file))?;
    }
    archive::write_checksums(tree, &build::files_below(tree)?)
}

/// Where the archive lies.
fn archive_path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target().join("plexus").join(format!("{name}.tar.gz"))
}
