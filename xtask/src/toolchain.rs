//! The Rust toolchain in use, as `rustc -vV` describes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run;

/// What the compiler says of itself.
#[derive(Debug)]
pub(crate) struct Toolchain {
    description: String,
    sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the compiler that cargo would use.
    pub(crate) fn detect() -> Result<Self> {
        let description = run::output("ask the compiler for its version", rustc().arg("-vV"))?;
        let sysroot =
            run::output("ask the compiler for its directory", rustc().args(["--print", "sysroot"]))?.into();
        Ok(Self { description, sysroot })
    }

    /// Everything `rustc -vV` said: two equal texts mean the same compiler.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// The triple of this machine, for example `x86_64-unknown-linux-gnu`.
    pub(crate) fn host(&self) -> Result<&str> {
        self.field("host")
    }

    /// The machine's architecture as the triple spells it.
    pub(crate) fn arch(&self) -> Result<&str> {
        self.host()?.split('-').next().context("the host triple is empty")
    }

    /// The release, for example `1.95.0`.
    pub(crate) fn release(&self) -> Result<&str> {
        self.field("release")
    }

    /// Major version of the LLVM inside the compiler.
    pub(crate) fn llvm_major(&self) -> Result<&str> {
        self.field("LLVM version")?.split('.').next().context("the LLVM version is empty")
    }

    /// Where the toolchain is installed.
    pub(crate) fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    fn field(&self, name: &str) -> Result<&str> {
        self.description
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .with_context(|| format!("`rustc -vV` names no {name}"))
    }
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_from_the_compilers_own_words() {
        let description =
            "rustc 1.95.0 (abc)\nhost: aarch64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2";
        let toolchain = Toolchain { description: description.into(), sysroot: PathBuf::new() };
        assert_eq!(toolchain.host().unwrap(), "aarch64-unknown-linux-gnu");
        assert_eq!(toolchain.arch().unwrap(), "aarch64");
        assert_eq!(toolchain.release().unwrap(), "1.95.0");
        assert_eq!(toolchain.llvm_major().unwrap(), "22");
    }

    #[test]
    fn a_missing_field_is_named() {
        let toolchain = Toolchain { description: "rustc 1.95.0".into(), sysroot: PathBuf::new() };
        assert!(toolchain.host().unwrap_err().to_string().contains("host"));
    }
}
