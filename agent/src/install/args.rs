//! The command line of installing, and of the runtime's config.

use std::path::{Path, PathBuf};

use clap::Args;
use plexus_cni::Version;
use serde_json::Value;

use super::conflist::{ConflistSettings, OnExit};
use super::{InstallOptions, UninstallOptions};
use crate::settings::Settings;

/// Where a shim that is not told otherwise looks for the agent, and for a place for its DELs.
const SOCKET_DEFAULT: &str = "/run/plexus/plexus.sock";
const STATE_DIR_DEFAULT: &str = "/var/lib/plexus";

/// Options of `plexusd install`.
#[derive(Args)]
pub struct Install {
    /// The container runtime's plugin directory.
    #[arg(long)]
    bin_dir: PathBuf,
    /// Names under which the shim is found there. multus and multus-shim serve a 00-multus.conf that stays in place; what
    /// had these names is kept as NAME.before-plexus.
    #[arg(long, value_delimiter = ',', default_value = "plexus")]
    names: Vec<String>,
    /// The shim to install [default: the file plexus beside plexusd].
    #[arg(long)]
    source: Option<PathBuf>,
    /// Also take the names of plugins of other vendors, which are kept as NAME.before-plexus.
    #[arg(long)]
    replace: bool,
}

impl From<Install> for InstallOptions {
    fn from(options: Install) -> Self {
        let Install { bin_dir, names, source, replace } = options;
        Self { bin_dir, names, source, replace }
    }
}

/// Options of `plexusd uninstall`.
#[derive(Args)]
pub struct Uninstall {
    /// The container runtime's plugin directory.
    #[arg(long)]
    bin_dir: PathBuf,
    /// Also remove our config from this directory, so that the runtime reads the next one.
    #[arg(long)]
    cni_conf_dir: Option<PathBuf>,
    /// Name of our config.
    #[arg(long, default_value = "00-plexus.conflist", value_parser = file_name)]
    conflist_name: String,
}

impl From<Uninstall> for UninstallOptions {
    fn from(options: Uninstall) -> Self {
        let conflist = options.cni_conf_dir.map(|dir| dir.join(&options.conflist_name));
        Self { bin_dir: options.bin_dir, conflist }
    }
}

/// Options of `plexusd run` about the runtime's network config.
#[derive(Args)]
#[command(next_help_heading = "The container runtime's network config")]
pub struct RuntimeConfig {
    /// Directory in which the container runtime looks for network configs: a config that leads here is written there,
    /// made from the primary CNI's and kept so. Without, nothing is written.
    #[arg(long)]
    cni_conf_dir: Option<PathBuf>,
    /// Directory in which the primary CNI's config is looked for [default: --cni-conf-dir].
    #[arg(long)]
    cni_autoconf_dir: Option<PathBuf>,
    /// File name of the primary CNI's config [default: the alphabetically first one that is not ours or Multus'].
    #[arg(long, value_parser = file_name)]
    primary_cni: Option<String>,
    /// Name of our config; the runtime reads the alphabetically first one.
    #[arg(long, default_value = "00-plexus.conflist", value_parser = file_name)]
    conflist_name: String,
    /// cniVersion in which the runtime is answered [default: the primary CNI's, but 1.0.0 at least].
    #[arg(long, value_parser = version)]
    conflist_cni_version: Option<Version>,
    /// Name of the network that the runtime sees; Multus' own, so that what the runtime noted of running pods still counts.
    #[arg(long, default_value = "multus-cni-network")]
    network_name: String,
    /// Take the primary CNI's network name instead.
    #[arg(long)]
    override_network_name: bool,
    /// File that must exist before our config is written for the first time.
    #[arg(long)]
    readiness_indicator_file: Option<PathBuf>,
    /// What becomes of our config when plexusd ends. keep: pods that start meanwhile wait for the next plexusd. remove: they
    /// come up with the primary network alone.
    #[arg(long, value_enum, default_value_t)]
    conflist_on_exit: OnExit,
}

impl RuntimeConfig {
    /// What is meant, for an agent with these settings.
    pub fn settings(self, agent: &Settings) -> Option<ConflistSettings> {
        let unless = |place: &Path, default: &str| (place != Path::new(default)).then(|| place.to_owned());
        let conf_dir = self.cni_conf_dir?;
        Some(ConflistSettings {
            primary_dir: self.cni_autoconf_dir.unwrap_or_else(|| conf_dir.clone()),
            conf_dir,
            file_name: self.conflist_name,
            primary: self.primary_cni,
            version: self.conflist_cni_version,
            network_name: (!self.override_network_name).then_some(self.network_name),
            readiness_indicator: self.readiness_indicator_file,
            on_exit: self.conflist_on_exit,
            socket: unless(&agent.socket, SOCKET_DEFAULT),
            state_dir: unless(&agent.state_dir, STATE_DIR_DEFAULT),
        })
    }
}

fn file_name(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && !text.starts_with('.') && !text.contains('/');
    if is_plain { Ok(text.to_owned()) } else { Err("it must be the plain name of a file".into()) }
}

fn version(text: &str) -> Result<Version, String> {
    Version::from_config(Some(&Value::from(text))).map_err(|error| error.to_string())
}
