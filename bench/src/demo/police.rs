//! The bandwidth limits of the fastpath network, measured with twice as much as they let through.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use plexus_agent::lab::traffic::udp::HEADER_BYTES_V4;
use plexus_agent::lab::traffic::{Flow, FlowSpec};

use super::agent::limit_bps;
use super::forward::{FASTPATH, PORT};
use super::report::{DemoReport, PolicerReport};
use super::stage::Stage;
use super::station::{Station, named};
use crate::screen::Screen;

/// Payload of the datagrams, in bytes: a frame of 1242.
const PAYLOAD_BYTES: usize = 1_200;
/// How far the measured rate may be from the configured one.
const TOLERANCE: f64 = 0.05;

/// Measures the limit of what a pod receives, and of what a pod sends.
pub(super) fn rates(
    stage: &Stage,
    stations: &[Station],
    screen: &mut Screen,
    report: &mut DemoReport,
) -> Result<()> {
    screen.heading("Police, at twice the configured rate");
    let (pod_a, pod_b, outside) =
        (named(stations, "pod-a")?, named(stations, "pod-b")?, named(stations, "outside")?);
    let to_pod = limit_bps(stage, "default/pod-b", FASTPATH, "ingress")?;
    report.policer = Some(measure("to pod-b, from outside", (outside, pod_b), to_pod, screen)?);
    let from_pod = limit_bps(stage, "default/pod-a", FASTPATH, "egress")?;
    report.policer_egress = Some(measure("from pod-a, to outside", (pod_a, outside), from_pod, screen)?);
    Ok(())
}

fn measure(
    what: &str,
    (from, to): (&Station, &Station),
    configured_bps: u64,
    screen: &mut Screen,
) -> Result<PolicerReport> {
    let frame_bits = (PAYLOAD_BYTES as u64 + HEADER_BYTES_V4) * 8;
    let rate_pps = 2 * configured_bps / frame_bits;
    let spec = FlowSpec {
        to: SocketAddr::new(to.address_on(FASTPATH)?, PORT),
        rate_pps,
        payload_bytes: PAYLOAD_BYTES,
        duration: Duration::from_secs(4),
        warm_up: Duration::from_secs(1),
    };
    let progress = screen.progress(what, 0);
    let seen = Flow::start(&from.netns, &to.netns, spec)?.wait()?;
    progress.finish_and_clear();
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53 bit/s")]
    let configured = configured_bps as f64;
    let error = seen.steady_bps / configured - 1.0;
    screen.expect(
        error.abs() <= TOLERANCE,
        what,
        &format!(
            "configured {:.2} Mbit/s, measured {:.2} Mbit/s ({:+.2} %), {} of {} lost",
            configured / 1e6,
            seen.steady_bps / 1e6,
            error * 100.0,
            seen.lost,
            seen.sent
        ),
    );
    Ok(PolicerReport { configured_bps, measured_bps: seen.steady_bps, offered_bps: rate_pps * frame_bits })
}
