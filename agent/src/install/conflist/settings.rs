//! What an operator sets of the runtime's config.

use std::path::PathBuf;

use clap::ValueEnum;
use plexus_cni::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the runtime's config is made.
#[derive(Clone, Debug)]
pub struct ConflistSettings {
    /// Where the runtime looks for configs: the file is written there.
    pub conf_dir: PathBuf,
    /// Where the primary CNI's config is looked for.
    pub primary_dir: PathBuf,
    /// The file's name: `.conflist`, or `.conf` for a single plugin's config.
    pub file_name: String,
    /// File name of the primary CNI's config; the alphabetically first one that is no meta-plugin's when absent.
    pub primary: Option<String>,
    /// The version in which the runtime is answered; the primary's, but 1.0.0 at least, when absent.
    pub version: Option<Version>,
    /// The network's name; the primary's when absent.
    pub network_name: Option<String>,
    /// The file is not written before this one exists.
    pub readiness_indicator: Option<PathBuf>,
    /// What becomes of the file when plexusd ends.
    pub on_exit: OnExit,
    /// The agent's socket, if that is not where the shim looks.
    pub socket: Option<PathBuf>,
    /// The state directory, if that is not where the shim looks.
    pub state_dir: Option<PathBuf>,
}

impl ConflistSettings {
    /// The file that is written.
    pub fn path(&self) -> PathBuf {
        self.conf_dir.join(&self.file_name)
    }
}

/// What becomes of the runtime's config when plexusd ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It stays: pods that start meanwhile wait for the next plexusd.
    #[default]
    Keep,
    /// It goes: the primary CNI alone serves pods that start from now on.
    Remove,
}
