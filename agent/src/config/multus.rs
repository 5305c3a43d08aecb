//! What Multus' daemon config says, as flags of plexusd and lines of its log.

use plexus_cni::daemon_config::{DaemonConfig, Effect};

use super::flags::Flag;

/// Keys of the daemon config that are flags here.
pub(super) fn flags(config: &DaemonConfig) -> Vec<Flag> {
    let keys = &config.keys;
    let text = |name: &str, value: Option<String>| {
        value.filter(|value| !value.is_empty()).map(|value| Flag { name: name.to_owned(), value })
    };
    [
        text("log-level", config.log_level().map(str::to_owned)),
        text("metrics", keys.metrics_port.map(|port| format!("0.0.0.0:{port}"))),
        text("multus-cache-dir", keys.cni_dir.clone()),
        text("connection-limit", keys.connection_limit.map(|limit| limit.clamp(16, 4096).to_string())),
    ]
    .into_iter()
    .flatten()
    .chain(conflist(config))
    .collect()
}

/// Keys about the runtime's config, which Multus makes unless `multusConfigFile` names one that is ready.
fn conflist(config: &DaemonConfig) -> Vec<Flag> {
    let keys = &config.keys;
    if keys.multus_config_file.as_deref().is_some_and(|file| file != "auto") {
        return Vec::new();
    }
    // Where both are the same directory the second flag would only stand in the way of the first on the command line.
    let elsewhere =
        keys.multus_autoconfig_dir.clone().filter(|dir| keys.cni_config_dir.as_ref() != Some(dir));
    let flags = [
        ("cni-conf-dir", keys.cni_config_dir.clone()),
        ("cni-autoconf-dir", elsewhere),
        ("primary-cni", keys.multus_master_cni.clone()),
        ("conflist-cni-version", keys.cni_version.clone()),
        ("network-name", keys.name.clone()),
        ("override-network-name", keys.override_network_name.map(|is_on| is_on.to_string())),
        ("readiness-indicator-file", keys.readiness_indicator_file.clone()),
    ];
    let given =
        flags.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    given.map(|(name, value)| Flag { name: name.to_owned(), value }).collect()
}

/// One line for each key that does nothing here, or something else than with Multus.
pub(super) fn remarks(config: &DaemonConfig) -> Vec<String> {
    let noted = config.notes().into_iter().filter(|note| note.effect != Effect::Honoured);
    noted
        .map(|note| {
            let effect = match note.effect {
                Effect::Honoured | Effect::Changed => "works otherwise",
                Effect::Ignored => "does nothing",
                Effect::Unknown => "is unknown",
            };
            let place = note.position.map(|at| format!(" ({at})")).unwrap_or_default();
            format!("key {:?}{place} {effect}: {}", note.key, note.why)
        })
        .collect()
}
