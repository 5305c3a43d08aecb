//! Where things are: the checkout, what is built in it, and the cache outside it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Environment variable that moves the cache directory.
pub(crate) const CACHE_VARIABLE: &str = "PLEXUS_CACHE";

/// The checkout that this run works on, and the cache directory that belongs to the user.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cache: PathBuf,
}

impl Workspace {
    /// Finds the checkout (cargo names it) and the cache directory, which must lie outside the checkout.
    pub(crate) fn locate() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .context("CARGO_MANIFEST_DIR is not set: run this through `cargo xtask`")?;
        let root = manifest_dir.parent().context("xtask/ has no parent directory")?.to_path_buf();
        let cache = cache_dir(env::var_os)?;
        if cache.starts_with(&root) {
            bail!(
                "the cache directory {} lies inside the checkout: point {CACHE_VARIABLE} outside of it",
                cache.display()
            );
        }
        Ok(Self { root, cache })
    }

    /// The checkout's top directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Downloads and tools that outlive the checkout.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Cargo's target directory for everything built for this machine.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The eBPF object that `agent/build.rs` embeds.
    pub(crate) fn bpf_object(&self) -> PathBuf {
        self.target().join("bpf/plexus-datapath.o")
    }

    /// The eBPF object that `bench/build.rs` embeds; apart, so that a new one does not build the agent again.
    pub(crate) fn bpf_measure_object(&self) -> PathBuf {
        self.target().join("bpf-measure/plexus-measure.o")
    }

    /// Binaries as they would be shipped: `plexus`, `plexusd`, `plexusctl`, `plexus-bench`.
    pub(crate) fn bin_dir(&self) -> PathBuf {
        self.target().join("plexus/bin")
    }

    /// Binaries that tests execute: the shim as shipped, the others with test-only features.
    pub(crate) fn test_bin_dir(&self) -> PathBuf {
        self.target().join("plexus/test-bin")
    }

    /// What each test printed in the last run.
    pub(crate) fn test_log_dir(&self) -> PathBuf {
        self.target().join("plexus/test-logs")
    }

    /// The crate of the fuzz targets.
    pub(crate) fn fuzz_dir(&self) -> PathBuf {
        self.root.join("fuzz")
    }
}

fn cache_dir(variable: impl Fn(&'static str) -> Option<std::ffi::OsString>) -> Result<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if variable(CACHE_VARIABLE).is_some() {
        return absolute(CACHE_VARIABLE)
            .with_context(|| format!("{CACHE_VARIABLE} must be an absolute path"));
    }
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("plexus"))
        .with_context(|| {
            format!("neither {CACHE_VARIABLE} nor XDG_CACHE_HOME nor HOME names a cache directory")
        })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> Result<PathBuf> {
        cache_dir(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn own_variable_wins_over_xdg_and_home() {
        let cache = with(&[("PLEXUS_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")]).unwrap();
        assert_eq!(cache, Path::new("/a"));
    }

    #[test]
    fn xdg_wins_over_home_and_home_is_the_last_resort() {
        assert_eq!(with(&[("XDG_CACHE_HOME", "/b"), ("HOME", "/c")]).unwrap(), Path::new("/b/plexus"));
        assert_eq!(with(&[("HOME", "/c")]).unwrap(), Path::new("/c/.cache/plexus"));
    }

    #[test]
    fn a_relative_cache_directory_is_refused() {
        assert!(with(&[("PLEXUS_CACHE", "cache"), ("HOME", "/c")]).is_err());
        assert!(with(&[]).is_err());
    }
}
