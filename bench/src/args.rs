//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Packets per second, TCP and the cost of a packet, against kernel bridge, macvlan and the least programs
    Forward(ForwardOptions),
    /// How exactly rates are kept, and what TCP makes of it, against the standard bandwidth plugin and tbf
    Police(PoliceOptions),
    /// Addresses of cluster-wide pools: 1 to 256 simulated nodes against a real API server
    Ipam(IpamOptions),
    /// A scenario of your own: topology, generator, frame sizes, flows, rate, duration, or a search for the throughput
    Run(RunOptions),
    /// A scenario between two pods or machines: a receiver waits in one, a sender measures in the other
    Pair(PairOptions),
    /// Copy reports of forward and police to a directory of the checkout, draw them, and write the README's tables anew
    Publish(PublishOptions),
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
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Options of `forward`.
#[derive(Debug, Args)]
pub(crate) struct ForwardOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Rounds of each arm
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of each arm in a round
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
}

impl ForwardOptions {
    /// How long an arm runs in a round.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Options of `police`.
#[derive(Debug, Args)]
pub(crate) struct PoliceOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Seconds of each rate after the first, which is measured apart
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Rounds of every rate
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// The standard plugins bridge, host-local and bandwidth
    #[arg(long, value_name = "DIR", env = "CNI_REFERENCE_BIN", default_value = "/usr/lib/cni")]
    pub(crate) reference_bin: PathBuf,
    /// Only what pods send through the shaper, for a machine whose kernel has fq
    #[arg(long)]
    pub(crate) shaped: bool,
    /// Take the shaper's figures from the report of such a run on another machine
    #[arg(long, value_name = "FILE", conflicts_with = "shaped")]
    pub(crate) shaped_report: Option<PathBuf>,
    /// Do not measure the shaper; what the report says why
    #[arg(long, value_name = "WHY", conflicts_with_all = ["shaped", "shaped_report"])]
    pub(crate) shaped_absent: Option<String>,
}

impl PoliceOptions {
    /// How long a rate is measured after its first second.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// How addresses are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IpamMode {
    /// Every ADD writes the shared pool
    Classic,
    /// Nodes hand out of slices that they own
    Fast,
    /// As fast, at a rate that leaves the machine idle most of the time: what one ADD takes when nodes do not share CPUs
    FastPaced,
}

/// Options of `ipam`.
#[derive(Debug, Args)]
pub(crate) struct IpamOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Numbers of simulated nodes
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,16,64,256", value_parser = nodes)]
    pub(crate) nodes: Vec<usize>,
    /// How addresses are kept
    #[arg(
        long,
        value_name = "MODE,…",
        value_delimiter = ',',
        default_value = "classic,fast,fast-paced",
        value_enum
    )]
    pub(crate) modes: Vec<IpamMode>,
    /// Addresses that each run hands out and takes back, IPv4 and IPv6 together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = addresses)]
    pub(crate) addresses: usize,
    /// Most addresses that are held at the same time in classic mode: one object lists half of them
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = addresses)]
    pub(crate) held: usize,
    /// ADDs per second over all nodes where they are paced
    #[arg(long, value_name = "N", default_value_t = 200.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Seconds after which a run begins no further ADD
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) limit_s: u64,
    /// Where the nodes keep their leases, a real file system [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The scenario, YAML; examples are in bench/scenarios, keys in docs/bench.md
    #[arg(value_name = "FILE")]
    pub(crate) scenario: PathBuf,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Look for the highest rate without loss of every frame size that RFC 2544 names, instead of sending at the scenario's rate
    #[arg(long)]
    pub(crate) search: bool,
    /// Two devices of this machine instead of the scenario's topology; both are used as they are
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub(crate) nic: Vec<String>,
}

/// Which side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Runs the scenario and reports
    Sender,
    /// Counts what comes
    Receiver,
}

/// Options of `pair`.
#[derive(Debug, Args)]
pub(crate) struct PairOptions {
    /// Which side this is
    #[arg(long, value_enum)]
    pub(crate) role: Role,
    /// The interface that is measured; both sides need an IPv4 address of one subnet on theirs
    #[arg(long, value_name = "IFNAME")]
    pub(crate) interface: String,
    /// Receiver: where senders find it, on any network; whoever reaches this may start a count
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9477")]
    pub(crate) listen: SocketAddr,
    /// Sender: where the receiver listens
    #[arg(long, value_name = "ADDRESS:PORT", required_if_eq("role", "sender"))]
    pub(crate) connect: Option<SocketAddr>,
    /// Sender: the scenario; its topology is `pair`
    #[arg(value_name = "FILE", required_if_eq("role", "sender"))]
    pub(crate) scenario: Option<PathBuf>,
    /// A receiver ends when no sender has come for so long, a sender when it has found no receiver
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) idle_s: u64,
    /// Sender: write the outcome as JSON to FILE; `-` prints it
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Sender: write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Options of `publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishOptions {
    /// Reports of `forward` and `police`; without any the README is written anew from those in DIR
    #[arg(value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,
    /// Where reports and charts are kept; the README.md above it is rewritten between its marks
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    pub(crate) to: PathBuf,
}

/// A number of nodes.
fn nodes(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=256).contains(&count) => Ok(count),
        _ => Err("a number of nodes between 1 and 256 is wanted".into()),
    }
}

/// A number of addresses; a /16 has 65,534.
fn addresses(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (2..=100_000).contains(&count) => Ok(count),
        _ => Err("a number of addresses between 2 and 100000 is wanted".into()),
    }
}

/// A rate of ADDs.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number of ADDs per second between 1 and 100000 is wanted".into()),
    }
}

/// A time between 0.05 and 3600 seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds between 0.05 and 3600 is wanted".into()),
    }
}
