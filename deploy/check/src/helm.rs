//! The program `helm`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// The release that the cache of `cargo xtask setup` holds; see `xtask/src/setup/helm.rs`.
const CACHED: &str = "helm-3.17.3/helm";

/// Why helm did not render.
#[derive(Debug, Error)]
pub enum HelmError {
    /// It could not be started.
    #[error("cannot start {program}: {why}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// It refused.
    #[error("helm refuses the chart: {0}")]
    Refused(String),
}

/// A helm that was found on this machine.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
}

impl Helm {
    /// `PLEXUS_HELM`, else a `helm` on the path, else the one in the cache.
    pub fn find() -> Option<Self> {
        let on_path = env::var_os("PATH").into_iter().flat_map(|path| {
            env::split_paths(&path).map(|directory| directory.join("helm")).collect::<Vec<_>>()
        });
        let cached = env::var_os("PLEXUS_CACHE")
            .map(PathBuf::from)
            .or_else(|| env::var_os("XDG_CACHE_HOME").map(|base| PathBuf::from(base).join("plexus")))
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/plexus")))
            .map(|cache| cache.join(CACHED));
        env::var_os("PLEXUS_HELM")
            .map(PathBuf::from)
            .into_iter()
            .chain(on_path)
            .chain(cached)
            .find(|program| program.is_file())
            .map(|program| Self { program })
    }

    /// `helm lint --strict` of a chart.
    pub fn lint(&self, chart: &Path) -> Result<String, HelmError> {
        self.run([OsStr::new("lint"), OsStr::new("--strict"), chart.as_os_str()])
    }

    /// `helm template`: what installing the release `plexus` into kube-system would create, without the CRD.
    pub fn template(&self, chart: &Path, options: &[&OsStr]) -> Result<String, HelmError> {
        let fixed = ["template", "plexus", "--namespace", "kube-system"].map(OsStr::new);
        self.run(fixed.into_iter().chain(options.iter().copied()).chain([chart.as_os_str()]))
    }

    fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<String, HelmError> {
        let output = Command::new(&self.program)
            .args(arguments)
            .output()
            .map_err(|why| HelmError::Start { program: self.program.clone(), why })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            return Err(HelmError::Refused(text(&output.stderr) + &text(&output.stdout)));
        }
        Ok(text(&output.stdout))
    }
}
