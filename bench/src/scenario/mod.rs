//! `plexus-bench run`: a scenario of one's own, from a file.
//!
//! ```text
//!   sender ──── wire │ bridge │ fastpath │ whatever is between two NICs ──── receiver
//!   stamps number and time into each frame                                 counts, and takes times
//! ```

mod file;
mod measure;
pub(crate) mod pair;
mod receive;
mod search;
mod socket;
mod stamp;
mod topology;
mod transmit;
mod trial;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::args::RunOptions;
use crate::publish::publish;
use crate::report::BenchReport;
use crate::screen::Screen;
use file::{Between, GeneratorKind, RFC2544_BYTES, Scenario, Topology};
use measure::Lanes;
use search::SearchPlan;
use topology::Stage;

/// What `--search` looks for.
const SEARCH: SearchPlan =
    SearchPlan { loss_percent: 0.0, min_pps: 1_000.0, max_pps: 20e6, resolution_percent: 2.0, trial_s: 1.0 };

/// Measures, shows the figures and writes the report.
pub(crate) fn verb(options: &RunOptions, screen: &mut Screen) -> Result<ExitCode> {
    let scenario = asked_for(options)?;
    let mut report = BenchReport::begin("run");
    screen.heading(&scenario.name);
    let stage = Stage::build(&scenario.topology, scenario.direction, options.common.bin_dir.as_deref())?;
    conditions(&scenario, &mut report);
    let run = |bytes, load| trial::at_once(&stage.lanes, scenario.generator, bytes, load);
    let names = stage.lanes.iter().map(|lane| lane.name).collect();
    let lanes = Lanes { names, latency: "latency", link_bps: stage.link_bps, run: &run };
    measure::scenario(&scenario, &lanes, screen, &mut report)?;
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}

/// A scenario file.
fn read(path: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Scenario::parse(&text).with_context(|| path.display().to_string())
}

/// The file, as the command line changes it.
fn asked_for(options: &RunOptions) -> Result<Scenario> {
    let path = options.scenario.display();
    let mut scenario = read(&options.scenario)?;
    if let [from, to] = options.nic.as_slice() {
        scenario.topology = Topology::Nics { from: from.clone(), to: to.clone() };
    }
    if options.search {
        scenario.search.get_or_insert(SEARCH);
        scenario.rate = None;
        scenario.frame_bytes = RFC2544_BYTES.into();
    }
    scenario.check().with_context(|| format!("{path} and the command line"))?;
    Ok(scenario)
}

fn conditions(scenario: &Scenario, report: &mut BenchReport) {
    let (generator, latency) = match scenario.generator {
        GeneratorKind::AfPacket => (
            "AF_PACKET past the queueing discipline, up to 32 frames in one call",
            "from the stamp right before the call that sends to the return of the call that receives, one clock, no hardware",
        ),
        GeneratorKind::XdpLive => (
            "BPF_PROG_TEST_RUN, live frames, batches of 64",
            "of 1,000 stamped frames per second beside the load: from before the call that sends to the return of the one that receives",
        ),
        GeneratorKind::AfXdp => (
            "AF_XDP in copy mode, queue 0, up to 32 frames in one call",
            "from the stamp right before the frame is put into shared memory to the moment when the receiver looks at it there, one clock, no hardware",
        ),
    };
    if scenario.generator == GeneratorKind::AfXdp {
        let receiver = match scenario.topology {
            Topology::Netns(Between::Bridge | Between::Fastpath) => {
                "AF_XDP in copy mode, behind generic XDP: what comes by a redirection passes by the driver's"
            }
            _ => "AF_XDP in copy mode, behind XDP in the driver",
        };
        report.conditions.insert("receiver", json!(receiver));
    }
    report.conditions.extend([
        ("scenario", json!(scenario)),
        ("generator", json!(generator)),
        ("latency", json!(latency)),
        ("cpu", json!("CPU time of the sending, or the receiving, thread per packet, with soft interrupts that it is charged with")),
        ("threads", json!("sender on the first CPU, receiver on the second")),
        ("frame_bytes", json!("with FCS")),
    ]);
}
