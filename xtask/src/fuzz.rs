//! `cargo xtask fuzz`: builds the targets of fuzz/ with libFuzzer on the stable toolchain and runs them.
//!
//! cargo-fuzz is not needed: it would add the same compiler flags, and ask for a nightly toolchain.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::args::{FuzzOptions, USAGE};
use crate::paths::Workspace;
use crate::setup::{self, Piece};
use crate::test::report::{Outcome, Report, Row};
use crate::toolchain::Toolchain;
use crate::{build, run};

/// Inputs that the test run feeds to each target.
const SMOKE_INPUTS: u32 = 20_000;
/// One input that takes longer is a finding, in seconds.
const INPUT_DEADLINE_S: u32 = 10;
/// Memory above which a target is a finding, in MiB.
const MEMORY_LIMIT_MIB: u32 = 2048;

/// Coverage feedback for libFuzzer, and the address sanitizer; both come with the stable toolchain.
const RUSTFLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// `cargo xtask fuzz`: each target for some seconds, from what earlier runs found; stops at the first finding.
pub(crate) fn verb(workspace: &Workspace, options: &FuzzOptions) -> Result<ExitCode> {
    let mut targets = targets(workspace)?;
    if let Some(wanted) = &options.target {
        if !targets.contains(wanted) {
            eprintln!(
                "error: there is no fuzz target {wanted}: fuzz/fuzz_targets has {}",
                targets.join(", ")
            );
            return Ok(ExitCode::from(USAGE));
        }
        targets.retain(|target| target == wanted);
    }
    setup::ensure(workspace, setup::FOR_FUZZ)?;
    if !setup::is_present(workspace, Piece::CppCompiler)? {
        bail!("libFuzzer is C++, and this machine has no C++ compiler");
    }
    let binaries = compile(workspace)?;
    for target in targets {
        let corpus = workspace.cache().join("fuzz").join(&target);
        let mut command = libfuzzer(workspace, &binaries, &target, corpus)?;
        command.arg(format!("-max_total_time={}", options.seconds));
        eprintln!("fuzz {target} for {} s", options.seconds);
        run::shown(&format!("finish fuzz target {target} without a finding"), &mut command)?;
    }
    println!("fuzz: no finding");
    Ok(ExitCode::SUCCESS)
}

/// A fixed number of inputs for each target, from the seeds, with a fixed random seed: the same on every run.
pub(crate) fn smoke(workspace: &Workspace, filter: &[String], report: &mut Report) -> Result<()> {
    let mut row = Row::new("fuzz");
    let mut targets = targets(workspace)?;
    targets.retain(|target| filter.is_empty() || filter.iter().any(|part| target.contains(part)));
    if !targets.is_empty() {
        setup::ensure(workspace, setup::FOR_FUZZ)?;
    }
    if setup::is_present(workspace, Piece::CppCompiler)? {
        smoke_each(workspace, targets, &mut row)?;
    } else {
        for target in targets {
            row.add(target, Outcome::Skipped("libFuzzer needs a C++ compiler (package g++)".into()));
        }
    }
    report.push(row);
    Ok(())
}

fn smoke_each(workspace: &Workspace, targets: Vec<String>, row: &mut Row) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    let binaries = compile(workspace)?;
    let started = Instant::now();
    eprintln!("suite fuzz: {} targets, {SMOKE_INPUTS} inputs each", targets.len());
    for target in targets {
        let corpus = workspace.target().join("fuzz/smoke").join(&target);
        if corpus.exists() {
            fs::remove_dir_all(&corpus).with_context(|| format!("cannot empty {}", corpus.display()))?;
        }
        let mut command = libfuzzer(workspace, &binaries, &target, corpus)?;
        command.args([format!("-runs={SMOKE_INPUTS}"), "-seed=1".into()]);
        let outcome = match run::output(&format!("fuzz {target}"), &mut command) {
            Ok(_) => Outcome::Passed,
            Err(finding) => Outcome::Failed(format!("{finding:#}")),
        };
        row.add(target, outcome);
    }
    row.took(started.elapsed());
    Ok(())
}

/// Names of the targets: every file of fuzz/fuzz_targets is one.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let directory = workspace.fuzz_dir().join("fuzz_targets");
    let files = build::files_below(&directory)?;
    Ok(files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect())
}

/// Builds every target and returns the directory of the programs.
fn compile(workspace: &Workspace) -> Result<PathBuf> {
    let toolchain = Toolchain::detect()?;
    let target_dir = workspace.target().join("fuzz");
    let mut command = run::cargo();
    command
        .current_dir(workspace.root())
        // An explicit target keeps the instrumentation out of build scripts.
        .args(["build", "--locked", "--package", "plexus-fuzz", "--bins", "--profile", "fuzz"])
        .args(["--target", toolchain.host()?, "--target-dir"])
        .arg(&target_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
    run::shown("build the fuzz targets", &mut command)?;
    Ok(target_dir.join(toolchain.host()?).join("fuzz"))
}

/// The command that runs a target: new inputs go to `corpus`, which starts with the seeds of the checkout.
fn libfuzzer(
    workspace: &Workspace,
    binaries: &std::path::Path,
    target: &str,
    corpus: PathBuf,
) -> Result<Command> {
    let artifacts = workspace.target().join("fuzz/artifacts").join(target);
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let mut command = Command::new(binaries.join(target));
    command
        .arg(corpus)
        .args(Some(workspace.fuzz_dir().join("seeds").join(target)).filter(|seeds| seeds.is_dir()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-timeout={INPUT_DEADLINE_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"))
        .arg("-print_final_stats=0");
    Ok(command)
}
