//! QEMU with the igb network card (release 8 and later), and the programs that a guest needs before it sees the machine's
//! own: busybox and modprobe. Debian's packages are unpacked into the cache together with the libraries that the machine
//! lacks; nothing is installed.

use std::env;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian::{Archive, remove_dir};
use crate::paths::Workspace;
use crate::run;

/// Names a QEMU to use instead.
const VARIABLE: &str = "PLEXUS_VM_QEMU";
const QEMU: &str = "qemu-system-x86_64";
/// The first release with the igb card.
const RELEASE_MIN: u32 = 8;
/// Suites with the packages; the second has a QEMU that is young enough.
pub(super) const SUITES: [&str; 2] = ["bookworm", "bookworm-backports"];
/// Without QEMU's windows, which need a desktop's libraries.
const PACKAGES: [&str; 6] =
    ["qemu-system-x86", "qemu-system-gui-", "busybox-static", "kmod", "xz-utils", "zstd"];
/// Where the packages have programs, libraries and QEMU's firmware.
const PROGRAMS: [&str; 3] = ["usr/bin", "bin", "sbin"];
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const FIRMWARE: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// The programs, found.
#[derive(Debug)]
pub(crate) struct VmTools {
    root: PathBuf,
    qemu: PathBuf,
}

impl VmTools {
    /// `None` if one is missing.
    pub(crate) fn find(workspace: &Workspace) -> Option<Self> {
        let root = root(workspace);
        let mut tools = Self { root, qemu: PathBuf::new() };
        tools.qemu = match env::var_os(VARIABLE) {
            Some(named) => PathBuf::from(named),
            None => tools.path(QEMU)?,
        };
        // One that was neither named nor unpacked may be too old.
        let is_trusted = env::var_os(VARIABLE).is_some() || tools.qemu.starts_with(&tools.root);
        let has_all = tools.qemu.is_file()
            && (is_trusted || is_recent(&tools.qemu))
            && ["busybox", "modprobe", "depmod", "xz", "zstd"].iter().all(|name| tools.path(name).is_some());
        has_all.then_some(tools)
    }

    /// QEMU, which is told where its firmware is.
    pub(crate) fn qemu(&self) -> Command {
        // setpriv: QEMU must not outlive us, whatever ends us.
        let mut command = self.with_libraries("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.qemu);
        for directory in FIRMWARE.map(|name| self.root.join(name)).iter().filter(|path| path.is_dir()) {
            command.arg("-L").arg(directory);
        }
        command
    }

    /// A program of the packages, else the machine's own of that name.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.with_libraries(self.path(name).unwrap_or_else(|| name.into()))
    }

    /// Where a program is.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let own = PROGRAMS.map(|directory| self.root.join(directory));
        let path = env::var_os("PATH").unwrap_or_default();
        own.into_iter()
            .chain(env::split_paths(&path))
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    }

    /// The packages' libraries, as `LD_LIBRARY_PATH`.
    pub(crate) fn library_path(&self) -> String {
        LIBRARIES.map(|directory| self.root.join(directory).display().to_string()).join(":")
    }

    fn with_libraries(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.library_path());
        command
    }
}

/// Whether this QEMU has the igb card.
fn is_recent(qemu: &Path) -> bool {
    let answer = run::output("ask QEMU for its version", Command::new(qemu).arg("--version"));
    answer.ok().and_then(|answer| major(&answer)).is_some_and(|major| major >= RELEASE_MIN)
}

/// Of `QEMU emulator version 10.0.2 (…)`.
fn major(answer: &str) -> Option<u32> {
    answer.split_once("version ")?.1.split('.').next()?.parse().ok()
}

fn root(workspace: &Workspace) -> PathBuf {
    workspace.cache().join("vm-tools")
}

/// What a person would type.
pub(super) fn install_command() -> String {
    format!(
        "install QEMU {RELEASE_MIN} or later, busybox-static, kmod, xz-utils and zstd; {VARIABLE} names a {QEMU} that is not on \
         the path"
    )
}

/// Unpacks the packages into the cache: 14 MB to download, 110 MB unpacked.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if env::consts::ARCH != "x86_64" {
        bail!("guests are x86_64, and this machine is {}", env::consts::ARCH);
    }
    let root = root(workspace);
    let archive = Archive::open(&workspace.cache().join("vm-tools.part"), &SUITES, false)?;
    let packages = archive.closure(&PACKAGES, SUITES[1])?;
    let unpacked = archive.unpack(&packages.iter().map(String::as_str).collect::<Vec<_>>(), "unpacked")?;
    link_module_programs(&unpacked)?;
    remove_dir(&root)?;
    std::fs::rename(unpacked, &root).with_context(|| format!("cannot create {}", root.display()))?;
    archive.remove()
}

/// The package's links lead to `/bin/kmod`, which is not where it was unpacked.
fn link_module_programs(unpacked: &Path) -> Result<()> {
    if !unpacked.join("bin/kmod").is_file() {
        return Ok(());
    }
    for name in ["modprobe", "depmod"] {
        let link = unpacked.join("sbin").join(name);
        run::output("replace a link", Command::new("rm").arg("-f").arg(&link))?;
        symlink("../bin/kmod", &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_qemus_own_words() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), Some(10));
        assert_eq!(major("QEMU emulator version 7.2.17"), Some(7));
        assert_eq!(major("sh: not found"), None);
    }
}
