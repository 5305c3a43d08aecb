//! `plexusctl`: one question to the agent, an answer for eyes or for programs.

mod ask;
mod capture;
mod config;
mod drops;
mod ipam;
mod table;
mod watch;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use plexus_cni::wire::Query;
use serde_json::Value;

/// Asks the node agent which interfaces pods have, what they carry, and what is wrong with them.
#[derive(Parser)]
#[command(name = "plexusctl", version)]
pub struct Cli {
    /// The agent's socket.
    #[arg(long, global = true, default_value = "/run/plexus/plexus.sock", env = "PLEXUS_SOCKET")]
    socket: PathBuf,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

#[derive(Subcommand)]
enum Command {
    /// The agent itself: version, uptime, how much is in use.
    Status,
    /// Pods with their interfaces, addresses and networks.
    Pods,
    /// Ports of the data plane: where each one's programs sit, its limits and guards.
    Ports,
    /// Packets, bytes and drops of each port, seen from the pod (rx = to the pod).
    Counters {
        /// Print again each second, with rates, until interrupted.
        #[arg(long)]
        watch: bool,
    },
    /// Dropped packets: how many of each port and reason, or single ones as they are dropped.
    Drops(drops::Drops),
    /// Write what a pod's interface sends and receives to a pcapng file, without a tool in the pod.
    Capture(capture::Capture),
    /// Networks that have members on this node.
    Networks,
    /// Routes that the data plane enforces, and the interfaces whose packets are looked up.
    Routes {
        /// `namespace/name`, `name`, or a container id; else all pods.
        pod: Option<String>,
    },
    /// Pools of addresses: how full they are, what contradicts, and of one pool who holds what.
    Ipam {
        /// A pool's name, its network or its range.
        pool: Option<String>,
    },
    /// Everything about one pod, and what is wrong with it.
    Explain {
        /// `namespace/name`, `name`, or a container id.
        pod: String,
    },
    /// Configs and manifests, before they are deployed; no agent is asked.
    #[command(subcommand)]
    Config(config::Config),
}

impl Command {
    /// The question to the agent, if it is one.
    fn query(&self) -> Option<Query> {
        Some(match self {
            Command::Status => Query::Status,
            Command::Pods => Query::Pods,
            Command::Ports => Query::Ports,
            Command::Counters { .. } => Query::Counters,
            Command::Networks => Query::Networks,
            Command::Routes { pod } => Query::Routes { pod: pod.clone() },
            Command::Ipam { pool } => Query::Ipam { pool: pool.clone() },
            Command::Explain { pod } => Query::Explain { pod: pod.clone() },
            Command::Config(_) | Command::Drops(_) | Command::Capture(_) => return None,
        })
    }
}

/// Runs one command; how the process shall end.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Counters { watch: true } => {
            watch::counters(&cli.socket, cli.output == Output::Table)?;
        }
        Command::Drops(command) => drops::run(command, &cli.socket, cli.output)?,
        Command::Capture(command) => capture::run(command, &cli.socket)?,
        Command::Config(command) => return config::run(command, cli.output),
        asking => {
            let Some(query) = asking.query() else { return Ok(ExitCode::SUCCESS) };
            let answer = ask::ask(&cli.socket, &query)?;
            print(&match cli.output {
                Output::Table => table::render(&query, &answer),
                other => other.document(&answer)?,
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Output {
    /// A document for programs.
    fn document(self, value: &impl serde::Serialize) -> anyhow::Result<String> {
        match self {
            Self::Yaml => serde_saphyr::to_string(value).context("the answer cannot be written as YAML"),
            Self::Table | Self::Json => Ok(serde_json::to_string_pretty(value)?),
        }
    }
}

/// Prints; a reader that has gone (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot print"),
    }
}

/// Whether colours would be seen.
fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A text of the answer, or a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
