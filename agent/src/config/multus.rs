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
    .collect()
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
