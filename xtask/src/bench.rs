//! `cargo xtask bench`: builds everything and measures.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{BenchOptions, Benchmark, USAGE};
use crate::build::{self, Profile};
use crate::demo::{absolute, exit_code, plexus_bench};
use crate::paths::Workspace;
use crate::{run, setup};

/// Exit status is that of `plexus-bench`.
pub(crate) fn verb(workspace: &Workspace, options: &BenchOptions) -> Result<ExitCode> {
    match options.benchmark {
        Benchmark::Forward | Benchmark::Police => {
            eprintln!("error: the benchmarks `forward` and `police` are not built yet");
            eprintln!(
                "  use `cargo xtask bench cni`; `cargo xtask demo` shows forwarding and the policed rate"
            );
            return Ok(ExitCode::from(USAGE));
        }
        Benchmark::All => eprintln!("note: `forward` and `police` are not built yet; `all` measures `cni`"),
        Benchmark::Cni => {}
    }
    setup::ensure(workspace, setup::FOR_RUN)?;
    build::all(workspace, Profile::Release)?;
    let mut command = plexus_bench(workspace, "cni");
    if let Some(report) = &options.report {
        command.arg("--report").arg(absolute(report)?);
    }
    if let Some(directory) = &options.multus_bin {
        command.arg("--multus-bin").arg(absolute(directory)?);
    }
    if let Some(rounds) = options.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    Ok(exit_code(run::status("run the benchmark", &mut command)?))
}
