//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Show Plexus end to end, and measure it. Everything happens in throw-away network namespaces; needs root.
#[derive(Debug, Parser)]
#[command(name = "plexus-bench", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Exit status: 0 done and as expected, 1 failed, 2 wrong usage. Reports are described in docs/reports.md.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Attach two pods, forward, police, restart under traffic and clean up, and check every step
    Demo(DemoOptions),
    /// Time ADD and DEL against the bare kernel and the reference plugins, interleaved in one run
    Cni(CniOptions),
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct CommonOptions {
    /// Write the outcome as JSON to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Where plexus, plexusd and plexusctl are [default: target/plexus/bin]
    #[arg(long, value_name = "DIR", env = "PLEXUS_BIN_DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Manifests and the runtime's config
    #[arg(long, value_name = "DIR", default_value = "deploy/examples")]
    pub(crate) examples: PathBuf,
}

/// Options of `cni`.
#[derive(Debug, Args)]
pub(crate) struct CniOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Rounds of each arm, after the warm-up
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rounds: u32,
    /// Bursts of 40 parallel ADDs of each arm
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) bursts: u32,
    /// Pods of three interfaces for the memory of plexusd; 0 leaves the step out
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) pods: u32,
    /// The reference plugins macvlan and host-local
    #[arg(long, value_name = "DIR", env = "CNI_REFERENCE_BIN", default_value = "/usr/lib/cni")]
    pub(crate) reference_bin: PathBuf,
    /// Adds the arm `multus`: the directory with Multus' thin plugin
    #[arg(long, value_name = "DIR")]
    pub(crate) multus_bin: Option<PathBuf>,
    /// Where leases and records are kept meanwhile, a real file system [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
}
