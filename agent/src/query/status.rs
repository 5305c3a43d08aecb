//! `plexusctl status`: the agent itself.

use serde::Serialize;

use crate::agent::Agent;

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
    ports_used: usize,
    ports_max: u32,
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
        ports_used: agent.ports.used(),
        ports_max: agent.settings.ports_max,
    }
}
