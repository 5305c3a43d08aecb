//! `plexus-bench police`: what a limit lets through, with UDP far above it and with TCP, and how long packets wait there.
//!
//! ```text
//!   plexus     fastpath, chained `bandwidth`: a policer in eBPF
//!   standard   the CNI project's bridge and bandwidth plugins: tbf on the pod's veth
//!   tbf        a kernel bridge, and tbf on the pod's veth as an administrator would set it
//! ```
//! [`shaped`] is apart: what pods send, where the kernel has fq.
//!
//! Every arm gets the same rate, the same burst (50 ms of the rate; 250 ms for TCP) and the same frames, one arm after the other.

mod arm;
mod elsewhere;
mod flood;
mod rate;
mod shaped;
mod share;
mod stage;
mod summary;
mod tcp;

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::args::PoliceOptions;
use crate::packets::frame::FULL;
use crate::profile;
use crate::publish::publish;
use crate::report::BenchReport;
use crate::screen::Screen;
use stage::Stage;

/// What the worst of the arms of [`shaped`] is called.
const SHAPED_RATIO: &str = "tcp_goodput_shaped_percent_min";

/// Measures, shows the figures and writes the report. A wish that is not met is shown, it is no failure.
pub(crate) fn verb(options: &PoliceOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = BenchReport::begin("police");
    screen.heading("Limits to a pod");
    if !options.shaped {
        limits(options, screen, &mut report)?;
    }
    shaping(options, screen, &mut report)?;
    report.conditions.extend([
        ("rounds", json!(options.rounds)),
        ("seconds_after_the_first", json!(options.seconds)),
        ("burst", json!("50 ms of the rate, 250 ms for TCP, in every arm; tbf latency 25 ms")),
        (
            "burst_shaped",
            json!("10 ms of the rate, at least 10 full frames, in every arm; tbf latency 25 ms"),
        ),
        ("frame_bytes_without_fcs", json!(FULL)),
        ("offered", json!("UDP as fast as BPF_PROG_TEST_RUN makes live frames on one CPU")),
        ("counted", json!("Ethernet frames without FCS at tc ingress in the pod; TCP: payload")),
    ]);
    summary::ratios(&mut report);
    if let Some(share) = share::profile(&report) {
        let explained = ["tcp_goodput_policed_percent_min", SHAPED_RATIO];
        profile::add(&mut report, "tcp_share_of_the_limit", share, &explained);
    }
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}

/// What a pod receives.
fn limits(options: &PoliceOptions, screen: &Screen, report: &mut BenchReport) -> Result<()> {
    let stage = Stage::build(options)?;
    report.arms.extend(tcp::measure(&stage.arms, options, screen)?);
    stage.take_live_frames()?;
    flood::measure(&stage.arms, options, screen, report)
}

/// What a pod sends where it waits: measured here, or elsewhere, or absent with a reason.
fn shaping(options: &PoliceOptions, screen: &Screen, report: &mut BenchReport) -> Result<()> {
    let outcome = match (&options.shaped_report, &options.shaped_absent) {
        (Some(path), _) => elsewhere::add(report, path)?,
        (None, Some(why)) => Err(why.clone()),
        (None, None) => shaped::measure(options, screen)?.map(|figures| report.arms.extend(figures)),
    };
    if let Err(why) = outcome {
        report.absent.insert(SHAPED_RATIO, why);
    }
    Ok(())
}
