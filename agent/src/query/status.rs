//! `plexusctl status`: the agent itself.

use std::time::Duration;

use serde::Serialize;

use super::source::{Source, source};
use crate::agent::Agent;
use crate::install::conflist::Stage;
use crate::takeover::Cache;

/// The agent itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    version: &'static str,
    pid: u32,
    uptime_s: u64,
    ready: bool,
    socket: String,
    state_dir: String,
    bpffs: String,
    pods: usize,
    attachments: usize,
    /// Pods that Multus attached and nobody detached yet.
    multus_pods: usize,
    conflist: Stage,
    ports_used: usize,
    ports_max: u32,
    source: Source,
}

pub(super) fn status(agent: &Agent) -> Status {
    let records = agent.records.all();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_s: agent.started.elapsed().as_secs(),
        ready: true,
        socket: agent.settings.socket.display().to_string(),
        state_dir: agent.settings.state_dir.display().to_string(),
        bpffs: agent.settings.bpffs.display().to_string(),
        pods: records.len(),
        attachments: records.iter().map(|record| record.attachments.len()).sum(),
        multus_pods: Cache::at(&agent.settings.multus_cache_dir)
            .containers(Duration::ZERO)
            .map_or(0, |containers| containers.len()),
        conflist: agent.conflist.get(),
        ports_used: agent.ports.used(),
        ports_max: agent.settings.ports_max,
        source: source(agent),
    }
}
