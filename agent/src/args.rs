//! The command line of plexusd.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Settings;

/// The Plexus node agent: attaches pods to networks and moves, limits and counts their packets.
#[derive(Parser)]
#[command(name = "plexusd", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What plexusd does.
#[derive(Subcommand)]
pub enum Command {
    /// Serve the shim's calls until SIGTERM; interfaces and packets outlive the process.
    Run(Box<Run>),
}

/// Options of `plexusd run`.
#[derive(Args)]
pub struct Run {
    /// Socket for shims and plexusctl (mode 0600, root only).
    #[arg(long, default_value = "/run/plexus/plexus.sock", env = "PLEXUS_SOCKET")]
    socket: PathBuf,
    /// Records of attachments and DELs kept while no agent was there.
    #[arg(long, default_value = "/var/lib/plexus", env = "PLEXUS_STATE_DIR")]
    state_dir: PathBuf,
    /// Directory of YAML files with Pods and NetworkAttachmentDefinitions, followed live.
    #[arg(long)]
    manifests: Option<PathBuf>,
    /// Directories with plugins of other vendors, searched before the runtime's CNI_PATH.
    #[arg(long, value_delimiter = ':')]
    bin_dir: Vec<PathBuf>,
    /// Directory on a BPF file system for pinned maps and links.
    #[arg(long, default_value = "/sys/fs/bpf/plexus")]
    bpffs: PathBuf,
    /// Most interfaces with a port in the data plane.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65536))]
    ports_max: u32,
    /// Directories beneath which an IPAM config may place its data; the first serves configs that name none.
    #[arg(long, value_delimiter = ':', default_value = "/var/lib/cni/networks:/var/lib/cni:/run/cni")]
    ipam_data_dir: Vec<PathBuf>,
    /// Threads that do the blocking work; the kernel serialises most of it.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
}

impl From<Run> for Settings {
    fn from(run: Run) -> Self {
        Self {
            socket: run.socket,
            state_dir: run.state_dir,
            manifests: run.manifests,
            bin_dirs: run.bin_dir,
            bpffs: run.bpffs,
            ports_max: run.ports_max,
            ipam_data_dirs: run.ipam_data_dir,
            workers: run.workers.into(),
        }
    }
}
