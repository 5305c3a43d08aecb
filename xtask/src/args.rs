//! The command line: every verb, its options and its help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::setup::Series;

/// Build, show, test and measure Plexus. Every verb first sets up what it needs (see `setup`).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong usage.
Downloads and tools are kept in $PLEXUS_CACHE, else $XDG_CACHE_HOME/plexus, else ~/.cache/plexus;
everything built lands in target/. A first run on a bare Debian 12 machine needs root (for apt) and the network.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Install what building and testing need: Debian packages, rust-src, bpf-linker, bpffs, an API server, helm, QEMU and kernels
    ///
    /// Does nothing, in well under a second, where everything is there. A piece that cannot be had is named together
    /// with the command that would install it; the exit status is then 1.
    Setup,
    /// Build the eBPF object and the binaries into target/bpf and target/plexus/bin
    Build(BuildOptions),
    /// Pack static programs, deploy/ and documentation into target/plexus/plexus-VERSION-ARCH.tar.gz
    Package(PackageOptions),
    /// Attach, forward, police, restart and clean up two pods in throw-away network namespaces (root)
    Demo(DemoOptions),
    /// Run the tests, each in a process of its own, and print a closing count (root for all but unit and fuzz)
    Test(TestOptions),
    /// Measure against the reference plugins in one run and write a report (root)
    Bench(BenchOptions),
    /// Check format, clippy on host and eBPF code, licences and advisories
    Lint,
    /// Render the Helm chart to deploy/manifests
    Manifests,
    /// Fuzz the parsers of foreign input
    Fuzz(FuzzOptions),
    /// Run the tests listed in a directory; what `test vm` starts inside of a guest
    #[command(hide = true)]
    Guest(GuestOptions),
}

/// Exit status of a wrong command line, as clap's own.
pub(crate) const USAGE: u8 = 2;

/// Options of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildOptions {
    /// Optimised host binaries; this is the default
    #[arg(long, conflicts_with = "dev")]
    release: bool,
    /// Unoptimised host binaries, quicker to build; the eBPF object and the shim are always optimised
    #[arg(long)]
    dev: bool,
}

impl BuildOptions {
    /// Whether the host binaries are to be built without optimisation.
    pub(crate) fn is_dev(&self) -> bool {
        self.dev && !self.release
    }
}

/// Options of `package`.
#[derive(Debug, Args)]
pub(crate) struct PackageOptions {
    /// Unoptimised agent and tool, quicker to build; for a look at the archive only
    #[arg(long)]
    pub(crate) dev: bool,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Also write the outcome as JSON to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Unoptimised host binaries, as the tests have them: the same checks, slower packets, minutes less to build
    #[arg(long)]
    pub(crate) dev: bool,
}

/// A layer of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Selection {
    /// Unit and property tests, the shim's process contract, style checks
    Unit,
    /// eBPF programs by BPF_PROG_TEST_RUN, packet in and packet out (root)
    Bpf,
    /// Whole paths in throw-away network namespaces (root)
    Netns,
    /// A fixed number of inputs for every fuzz target
    Fuzz,
    /// Other kernels, and network cards with SR-IOV, in virtual machines (root)
    Vm,
    /// Against a real API server in a throw-away host (root)
    Api,
    /// All that are built
    All,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Which layer to run
    #[arg(value_enum, default_value_t = Selection::All)]
    pub(crate) suite: Selection,
    /// The kernels of the suite `vm`
    #[arg(long, value_enum, value_name = "SERIES", default_value_t = KernelChoice::All)]
    kernel: KernelChoice,
    /// Only tests whose name contains one of these
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
}

impl TestOptions {
    /// The kernels to test on.
    pub(crate) fn kernels(&self) -> Vec<Series> {
        match self.kernel {
            KernelChoice::V6_1 => vec![Series::V6_1],
            KernelChoice::V6_12 => vec![Series::V6_12],
            KernelChoice::All => Series::ALL.to_vec(),
        }
    }
}

/// Kernels that guests can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KernelChoice {
    /// Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's
    #[value(name = "6.12")]
    V6_12,
    /// At the same time
    All,
}

/// Options of `guest`.
#[derive(Debug, Args)]
pub(crate) struct GuestOptions {
    /// The directory
    pub(crate) directory: PathBuf,
}

/// Options of `fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzOptions {
    /// Only this target; all when absent
    pub(crate) target: Option<String>,
    /// How long to run each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) seconds: u32,
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// Time of ADD and DEL, throughput of parallel ADDs, memory of plexusd
    Cni,
    /// Packets per second, TCP, round trips, cost of a packet, restarts under load
    Forward,
    /// How exactly rates are kept, beside the standard bandwidth plugin and tbf
    Police,
    /// Addresses of cluster-wide pools, from 1 to 256 simulated nodes against a real API server
    Ipam,
    /// A scenario of your own, from FILE
    Run,
    /// All but `run`; each writes files of its own, FILE with the benchmark's name before the extension
    All,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// What to measure
    #[arg(value_enum, default_value_t = Benchmark::All)]
    pub(crate) benchmark: Benchmark,
    /// The scenario of `run`; examples are in bench/scenarios
    #[arg(value_name = "SCENARIO", required_if_eq("benchmark", "run"))]
    pub(crate) scenario: Option<PathBuf>,
    /// `run`: look for the highest rate without loss of each frame size
    #[arg(long)]
    pub(crate) search: bool,
    /// Write the figures as JSON to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the figures as one self-contained page to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Keep the reports of forward and police in DIR, with charts, and write the README's figures anew
    #[arg(long, value_name = "DIR")]
    pub(crate) publish: Option<PathBuf>,
    /// Seconds of each arm in a round (forward) or of each rate (police); plexus-bench chooses when absent
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
    /// Unoptimised host binaries, quicker to build: to try a benchmark, whose figures then mean nothing
    #[arg(long)]
    pub(crate) dev: bool,
    /// `police`: where this machine's kernel has no fq, leave the shaper out instead of measuring it in a virtual machine
    #[arg(long)]
    pub(crate) no_guest: bool,
    /// Adds the arm `multus`: the directory that holds Multus' binaries
    #[arg(long, value_name = "DIR")]
    pub(crate) multus_bin: Option<PathBuf>,
    /// Addresses of each run of `ipam`; plexus-bench chooses when absent
    #[arg(long, value_name = "N")]
    pub(crate) addresses: Option<u64>,
    /// Seconds after which a run of `ipam` begins no further ADD; plexus-bench chooses when absent
    #[arg(long, value_name = "N")]
    pub(crate) limit_s: Option<u64>,
    /// Rounds of each arm; plexus-bench chooses when absent
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u32>,
}
