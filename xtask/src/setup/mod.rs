//! Brings the machine into the state that the other verbs need, and does nothing where it is there already.
//!
//! No stamp file: each piece has a probe of a few milliseconds that looks at the thing itself, so a deleted tool is
//! noticed and a half-finished setup is continued.

mod bpf_linker;
mod bpffs;
mod debian;
mod go;
mod helm;
mod kube_assets;
mod mirror;
mod packages;
mod rust_src;
mod vm_kernels;
mod vm_tools;
mod vmlinux;

use std::fs::{self, File};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::bpf_linker::linker_path;
pub(crate) use self::helm::helm_path;
pub(crate) use self::kube_assets::{VARIABLE as KUBE_ASSETS_VARIABLE, directory as kube_assets};
pub(crate) use self::packages::{is_root, reference_plugins};
pub(crate) use self::rust_src::library_path;
pub(crate) use self::vm_kernels::{Kernel, Series, kernel};
pub(crate) use self::vm_tools::VmTools;
use crate::paths::Workspace;
use crate::toolchain::Toolchain;

/// Something that a verb needs on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// C compiler and static C library: links every binary.
    Compiler,
    /// C++ compiler: libFuzzer is C++.
    CppCompiler,
    /// Sources of `core`, which is compiled for the eBPF target.
    RustSrc,
    /// The linker that turns LLVM bitcode into an eBPF object.
    BpfLinker,
    /// Programs that demo, tests and benchmarks call, and the reference CNI plugins.
    NetworkTools,
    /// The mounted file system that holds pinned maps and links.
    Bpffs,
    /// etcd and kube-apiserver, which the API tests run.
    KubeAssets,
    /// Renders and lints the chart.
    Helm,
    /// QEMU, and the programs that a guest starts with.
    VmTools,
    /// The kernels that guests boot.
    VmKernels,
}

/// What building needs.
pub(crate) const FOR_BUILD: &[Piece] = &[Piece::Compiler, Piece::RustSrc, Piece::BpfLinker];
/// What building and then running in network namespaces needs.
pub(crate) const FOR_RUN: &[Piece] =
    &[Piece::Compiler, Piece::RustSrc, Piece::BpfLinker, Piece::NetworkTools, Piece::Bpffs];

/// What the API tests need beside that.
pub(crate) const FOR_API: &[Piece] = &[Piece::KubeAssets];
/// What tests in virtual machines need beside that.
pub(crate) const FOR_VM: &[Piece] = &[Piece::VmTools, Piece::VmKernels];
/// What fuzzing needs.
pub(crate) const FOR_FUZZ: &[Piece] = &[Piece::Compiler, Piece::CppCompiler];
/// What rendering the chart needs.
pub(crate) const FOR_MANIFESTS: &[Piece] = &[Piece::Helm];
const EVERYTHING: &[&[Piece]] = &[FOR_RUN, FOR_API, FOR_VM, FOR_FUZZ, FOR_MANIFESTS];

/// `cargo xtask setup`: every piece; fails if one cannot be had.
pub(crate) fn verb(workspace: &Workspace) -> Result<ExitCode> {
    let absent = install_missing(workspace, &EVERYTHING.concat())?;
    for piece in &absent {
        eprintln!("{}", piece.message());
    }
    if absent.is_empty() {
        println!("setup: complete; downloads and tools are in {}", workspace.cache().display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Installs what is missing of `pieces`; an absent piece is an error only if nothing can be built without it.
pub(crate) fn ensure(workspace: &Workspace, pieces: &[Piece]) -> Result<()> {
    for absent in install_missing(workspace, pieces)? {
        if absent.piece.is_required() {
            bail!("{}", absent.message());
        }
        eprintln!("warning: {}\n  going on without it", absent.message());
    }
    Ok(())
}

/// Whether `piece` is there now.
pub(crate) fn is_present(workspace: &Workspace, piece: Piece) -> Result<bool> {
    piece.is_present(workspace, &Toolchain::detect()?)
}

/// A piece that is not there and could not be installed.
#[derive(Debug)]
struct Absent {
    piece: Piece,
    why: anyhow::Error,
    command: String,
}

impl Absent {
    fn message(&self) -> String {
        format!("{} is missing: {:#}\n  to install it by hand: {}", self.piece.name(), self.why, self.command)
    }
}

fn install_missing(workspace: &Workspace, pieces: &[Piece]) -> Result<Vec<Absent>> {
    let toolchain = Toolchain::detect()?;
    let mut lock = None;
    let mut absent = Vec::new();
    for &piece in pieces {
        if piece.is_present(workspace, &toolchain)? {
            continue;
        }
        if lock.is_none() {
            lock = Some(lock_cache(workspace)?);
        }
        let installed = piece.install(workspace, &toolchain);
        let present = piece.is_present(workspace, &toolchain)?;
        match installed {
            Ok(()) if present => {}
            Ok(()) => absent.push(piece.absent(
                workspace,
                &toolchain,
                anyhow::anyhow!("its installation ended well, but it is still not there"),
            )),
            Err(why) => absent.push(piece.absent(workspace, &toolchain, why)),
        }
    }
    Ok(absent)
}

/// Held while something is installed: two checkouts may share one cache.
fn lock_cache(workspace: &Workspace) -> Result<File> {
    let path = workspace.cache().join("setup.lock");
    fs::create_dir_all(workspace.cache())
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock the cache directory by {}", path.display()))
}

impl Piece {
    fn name(self) -> &'static str {
        match self {
            Self::Compiler => "a C compiler with the static C library",
            Self::CppCompiler => "a C++ compiler",
            Self::RustSrc => "rust-src (sources of Rust's core library)",
            Self::BpfLinker => "bpf-linker",
            Self::NetworkTools => "a network tool or the reference CNI plugins",
            Self::Bpffs => "a bpf file system on /sys/fs/bpf",
            Self::KubeAssets => "kube-apiserver or etcd",
            Self::Helm => "helm",
            Self::VmTools => "QEMU for the tests in virtual machines",
            Self::VmKernels => "a kernel for the tests in virtual machines",
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Compiler | Self::RustSrc | Self::BpfLinker)
    }

    fn is_present(self, workspace: &Workspace, toolchain: &Toolchain) -> Result<bool> {
        match self {
            Self::Compiler => Ok(packages::missing(packages::COMPILER).is_empty()),
            Self::CppCompiler => Ok(packages::missing(packages::CPP_COMPILER).is_empty()),
            Self::RustSrc => Ok(library_path(workspace, toolchain)?.is_some()),
            Self::BpfLinker => Ok(linker_path(workspace).is_file()),
            Self::NetworkTools => Ok(packages::missing(packages::NETWORK_TOOLS).is_empty()),
            Self::Bpffs => bpffs::is_mounted(),
            Self::KubeAssets => Ok(kube_assets::is_present(workspace)),
            Self::Helm => Ok(helm_path(workspace).is_some()),
            Self::VmTools => Ok(VmTools::find(workspace).is_some()),
            Self::VmKernels => Ok(vm_kernels::are_present(workspace)),
        }
    }

    fn install(self, workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
        match self {
            Self::Compiler => packages::install(packages::COMPILER),
            Self::CppCompiler => packages::install(packages::CPP_COMPILER),
            Self::RustSrc => rust_src::install(workspace, toolchain),
            Self::BpfLinker => bpf_linker::install(workspace, toolchain),
            Self::NetworkTools => packages::install(packages::NETWORK_TOOLS),
            Self::Bpffs => bpffs::mount(),
            Self::KubeAssets => kube_assets::install(workspace),
            Self::Helm => helm::install(workspace),
            Self::VmTools => vm_tools::install(workspace),
            Self::VmKernels => vm_kernels::install(workspace),
        }
    }

    fn absent(self, workspace: &Workspace, toolchain: &Toolchain, why: anyhow::Error) -> Absent {
        let command = match self {
            Self::Compiler => packages::install_command(packages::COMPILER),
            Self::CppCompiler => packages::install_command(packages::CPP_COMPILER),
            Self::RustSrc => rust_src::install_command(toolchain),
            Self::BpfLinker => bpf_linker::install_command(workspace),
            Self::NetworkTools => packages::install_command(packages::NETWORK_TOOLS),
            Self::Bpffs => bpffs::MOUNT_COMMAND.to_owned(),
            Self::KubeAssets => kube_assets::install_command(),
            Self::Helm => helm::install_command(),
            Self::VmTools => vm_tools::install_command(),
            Self::VmKernels => vm_kernels::install_command(),
        };
        Absent { piece: self, why, command }
    }
}
