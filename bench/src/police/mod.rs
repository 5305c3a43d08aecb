//! `plexus-bench police`: what a limit lets through, with UDP far above it and with TCP, and how long packets wait there.
//!
//! ```text
//!   plexus     fastpath, chained `bandwidth`: a policer in eBPF
//!   standard   the CNI project's bridge and bandwidth plugins: tbf on the pod's veth
//!   tbf        a kernel bridge, and tbf on the pod's veth as an administrator would set it
//! ```
//! Every arm gets the same rate, the same burst (50 ms of the rate; 250 ms for TCP) and the same frames, one arm after the other.

mod arm;
mod flood;
mod rate;
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

/// Measures, shows the figures and writes the report. A wish that is not met is shown, it is no failure.
pub(crate) fn verb(options: &PoliceOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = BenchReport::begin("police");
    screen.heading("Limits to a pod");
    {
        let stage = Stage::build(options)?;
        report.arms.extend(tcp::measure(&stage.arms, options, screen)?);
        stage.take_live_frames()?;
        flood::measure(&stage.arms, options, screen, &mut report)?;
    }
    report.conditions.extend([
        ("rounds", json!(options.rounds)),
        ("seconds_after_the_first", json!(options.seconds)),
        ("burst", json!("50 ms of the rate, 250 ms for TCP, in every arm; tbf latency 25 ms")),
        ("frame_bytes_without_fcs", json!(FULL)),
        ("offered", json!("UDP as fast as BPF_PROG_TEST_RUN makes live frames on one CPU")),
        ("counted", json!("Ethernet frames without FCS at tc ingress in the pod; TCP: payload")),
    ]);
    summary::ratios(&mut report);
    if let Some(share) = share::profile(&report) {
        let explained = ["tcp_goodput_policed_percent_min", "tcp_goodput_shaped_percent_min"];
        profile::add(&mut report, "tcp_share_of_the_limit", share, &explained);
    }
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}
