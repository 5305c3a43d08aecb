//! plexusd dies by SIGKILL and comes back, while packets flow.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use plexus_agent::lab::traffic::{Flow, FlowSpec};

use super::forward::{FASTPATH, PORT};
use super::report::{DemoReport, RestartReport};
use super::stage::Stage;
use super::station::{Station, named};
use crate::screen::Screen;

/// Traffic before the kill, without an agent, and after the restart.
const PHASE: Duration = Duration::from_millis(700);
/// The flows end by themselves if the restart hangs.
const DURATION_MAX: Duration = Duration::from_mins(1);

/// Runs one flow pod to pod and one from outside to a pod over kill and restart.
pub(super) fn under_traffic(
    stage: &mut Stage,
    stations: &[Station],
    screen: &mut Screen,
    report: &mut DemoReport,
) -> Result<()> {
    screen.heading("Restart under traffic");
    let (pod_a, pod_b, outside) =
        (named(stations, "pod-a")?, named(stations, "pod-b")?, named(stations, "outside")?);
    let flows = [start(pod_a, pod_b, PORT)?, start(outside, pod_a, PORT)?];
    sleep(PHASE);
    let old_pid = stage.plexusd.pid();
    let killed = Instant::now();
    stage.plexusd.kill()?;
    sleep(PHASE);
    let started = Instant::now();
    let restarted = stage.plexusd.restart();
    let [agent_down_ms, start_ms] = [killed, started].map(|since| since.elapsed().as_secs_f64() * 1e3);
    sleep(PHASE);
    let (mut sent, mut lost) = (0, 0);
    for flow in flows {
        let seen = flow.finish()?;
        sent += seen.sent;
        lost += seen.lost;
    }
    restarted?;
    let pids = format!("pid {old_pid} → {}, answers {start_ms:.0} ms after its start", stage.plexusd.pid());
    screen.expect(old_pid != stage.plexusd.pid(), "plexusd killed by SIGKILL and started again", &pids);
    let seen = format!("{lost} of {sent} packets lost");
    screen.expect(sent > 0 && lost == 0, "no packet lost, pod to pod and outside to pod", &seen);
    report.restart = Some(RestartReport { sent, lost, agent_down_ms, start_ms });
    Ok(())
}

fn start(from: &Station, to: &Station, port: u16) -> Result<Flow> {
    let spec = FlowSpec {
        to: SocketAddr::new(to.address_on(FASTPATH)?, port),
        rate_pps: 2_000,
        payload_bytes: 200,
        duration: DURATION_MAX,
        warm_up: Duration::ZERO,
    };
    Ok(Flow::start(&from.netns, &to.netns, spec)?)
}
