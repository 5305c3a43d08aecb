//! The command line, completed by the config file that it names.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{CommandFactory as _, FromArgMatches as _};
use plexus_cni::daemon_config::{DaemonConfig, KEYS};
use plexus_cni::json::Object;
use plexus_cni::limits::CONFIG_BYTES_MAX;
use serde_json::Value;

use super::flags::{self, Flag};
use super::{API_VERSION, AgentConfig, Checked, Document, multus, read};
use crate::args::Cli;
use crate::settings::Settings;

/// Keys of [`AgentConfig`] that are no flags.
pub(super) const NO_FLAGS: [&str; 3] = ["apiVersion", "kind", "meta"];

/// What the config file says that no flag can say.
#[derive(Debug, Default)]
pub struct FromFile {
    meta_overlay: Object,
    remarks: Vec<String>,
    flags: Vec<Flag>,
}

impl FromFile {
    /// The settings, completed.
    pub fn complete(self, settings: Settings) -> Settings {
        Settings { meta_overlay: self.meta_overlay, ..settings }
    }

    /// Logs what does nothing here, and why.
    pub fn log_remarks(&self) {
        for remark in &self.remarks {
            tracing::warn!("config file: {remark}");
        }
    }
}

/// Reads the command line and the file of `--config`. What clap refuses of the command line ends the process with its
/// usage.
pub fn command_line(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<(Cli, FromFile)> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = Cli::command();
    command.build();
    let matches = command.clone().get_matches_from(&arguments);
    let path = matches.subcommand_matches("run").and_then(|run| run.get_one::<PathBuf>("config"));
    let (Some(path), Some(given), Some(run)) =
        (path, matches.subcommand_matches("run"), command.find_subcommand("run"))
    else {
        return Ok((Cli::from_arg_matches(&matches)?, FromFile::default()));
    };
    let what = || format!("config file {} cannot be used", path.display());
    let mut file = text(path).and_then(|text| parse(&text)).with_context(what)?;
    let (more, unknown) = flags::missing(run, given, &file.flags);
    file.remarks.extend(unknown.iter().map(|flag| format!("there is no --{} in this release", flag.name)));
    let completed = command.clone().try_get_matches_from(arguments.into_iter().chain(more));
    let matches = completed.map_err(|error| anyhow::anyhow!("{}", plain(&error))).with_context(what)?;
    Ok((Cli::from_arg_matches(&matches)?, file))
}

/// clap's message without its advice about the command line.
fn plain(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    ensure!(text.len() <= CONFIG_BYTES_MAX, "it has more than {CONFIG_BYTES_MAX} bytes");
    Ok(text)
}

/// Tells the kinds apart by their keys: an own file has `apiVersion` and `kind`, Multus' has neither.
fn parse(text: &str) -> anyhow::Result<FromFile> {
    let mut documents = read(text)?;
    ensure!(documents.len() == 1, "it must hold one document, found {}", documents.len());
    let Some(Document { value: Value::Object(object), lines }) = documents.pop() else {
        bail!("it must hold an object with keys");
    };
    if object.contains_key("apiVersion") || object.contains_key("kind") {
        return own(&Document { value: Value::Object(object), lines });
    }
    let is_multus = |key: &String| KEYS.iter().any(|known| known.name == key);
    ensure!(
        object.is_empty() || object.keys().any(is_multus),
        "it is neither plexusd's own (that has apiVersion: {API_VERSION} and kind: AgentConfig) nor a daemon config of Multus"
    );
    let config = DaemonConfig::from_object(object, lines, "Multus daemon config")?;
    Ok(FromFile {
        meta_overlay: config.meta_overlay(),
        remarks: multus::remarks(&config),
        flags: multus::flags(&config),
    })
}

fn own(document: &Document) -> anyhow::Result<FromFile> {
    let config = match AgentConfig::check(&document.value, &document.lines) {
        Checked::Right(config) => config,
        Checked::Wrong { position, why } => {
            bail!("{}{why}", position.map(|at| format!("{at}: ")).unwrap_or_default())
        }
    };
    let meta = config.meta.as_ref().map(serde_json::to_value).transpose()?;
    let Value::Object(keys) = serde_json::to_value(&config)? else { bail!("it must hold an object") };
    let keys = keys.iter().filter(|(key, _)| !NO_FLAGS.contains(&key.as_str()));
    Ok(FromFile {
        meta_overlay: meta.and_then(|meta| meta.as_object().cloned()).unwrap_or_default(),
        remarks: Vec::new(),
        flags: keys.flat_map(|(key, value)| flags::flags(key, value)).collect(),
    })
}

#[cfg(test)]
mod tests;
