//! `cargo xtask bench`: builds everything and measures.

mod shaped;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::args::{BenchOptions, Benchmark};
use crate::build::{self, Profile};
use crate::demo::{absolute, exit_code, plexus_bench};
use crate::paths::Workspace;
use crate::{run, setup};

/// Exit status is that of `plexus-bench`; of several benchmarks, that of the first that failed.
pub(crate) fn verb(workspace: &Workspace, options: &BenchOptions) -> Result<ExitCode> {
    setup::ensure(workspace, setup::FOR_RUN)?;
    build::all(workspace, if options.dev { Profile::Dev } else { Profile::Release })?;
    let verbs: &[&str] = match options.benchmark {
        Benchmark::Cni => &["cni"],
        Benchmark::Forward => &["forward"],
        Benchmark::Police => &["police"],
        Benchmark::Ipam => &["ipam"],
        Benchmark::Run => &["run"],
        Benchmark::All => &["cni", "forward", "police", "ipam"],
    };
    if verbs.contains(&"ipam") {
        setup::ensure(workspace, setup::FOR_API)?;
    }
    if verbs.contains(&"police") && shaped::needs_guest(options) {
        setup::ensure(workspace, setup::FOR_VM)?;
    }
    for verb in verbs {
        let mut command = plexus_bench(workspace, verb);
        let mut files = Vec::new();
        for (flag, file) in [("--report", &options.report), ("--html", &options.html)] {
            if let Some(file) = file {
                let file = absolute(file)?;
                files.push((flag, if verbs.len() > 1 { beside(&file, verb)? } else { file }));
            }
        }
        let published = options.publish.as_deref().filter(|_| ["forward", "police"].contains(verb));
        let published = published.map(absolute).transpose()?;
        if let Some(directory) = published.as_ref().filter(|_| options.report.is_none()) {
            let report = directory.join(verb).with_extension("json");
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
            files.push(("--report", report));
        }
        for (flag, file) in &files {
            command.arg(flag).arg(file);
        }
        if let (Some(scenario), "run") = (&options.scenario, *verb) {
            command.arg(absolute(scenario)?).args(options.search.then_some("--search"));
        }
        if let (Some(directory), "cni") = (&options.multus_bin, *verb) {
            command.arg("--multus-bin").arg(absolute(directory)?);
        }
        if let (Some(rounds), "cni" | "forward" | "police") = (options.rounds, *verb) {
            command.arg("--rounds").arg(rounds.to_string());
        }
        if let (Some(seconds), "forward" | "police") = (options.seconds, *verb) {
            command.arg("--seconds").arg(seconds.to_string());
        }
        if *verb == "police" {
            command.args(shaped::arguments(workspace, options)?);
        }
        if *verb == "ipam" {
            command.env(setup::KUBE_ASSETS_VARIABLE, setup::kube_assets(workspace));
            for (flag, value) in [("--addresses", options.addresses), ("--limit-s", options.limit_s)] {
                if let Some(value) = value {
                    command.arg(flag).arg(value.to_string());
                }
            }
        }
        let status = run::status(&format!("run the benchmark {verb}"), &mut command)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
        let report = files.iter().find(|(flag, _)| *flag == "--report");
        if let Some((directory, (_, report))) = published.zip(report) {
            let mut command = publish(workspace, report, &directory);
            let status = run::status("publish the report", &mut command)?;
            if !status.success() {
                return Ok(exit_code(status));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The verb that puts a report, its chart and its ratios into the checkout.
fn publish(workspace: &Workspace, report: &Path, directory: &Path) -> Command {
    let mut command = Command::new(workspace.bin_dir().join("plexus-bench"));
    command.current_dir(workspace.root()).arg("publish").arg(report).arg("--to").arg(directory);
    command
}

/// `dir/out.json` and `cni` are `dir/out-cni.json`: each benchmark writes files of its own.
fn beside(file: &Path, verb: &str) -> Result<PathBuf> {
    let stem = file.file_stem().with_context(|| format!("{} names no file", file.display()))?;
    let mut name = stem.to_os_string();
    name.push(format!("-{verb}"));
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    Ok(file.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_benchmarks_write_files_of_their_own() {
        assert_eq!(beside(Path::new("/a/out.json"), "cni").unwrap(), Path::new("/a/out-cni.json"));
        assert_eq!(beside(Path::new("/a/out"), "police").unwrap(), Path::new("/a/out-police"));
    }
}
