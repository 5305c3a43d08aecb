//! plexusd dies and comes back under load: the same build, then one with other map layouts, then back again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexus_agent::lab::traffic::{Flow, FlowSpec};
use serde_json::json;

use super::stage::Stage;
use crate::args::ForwardOptions;
use crate::report::{BenchReport, Figures};
use crate::screen::Screen;

/// Datagrams per second: enough to see a gap of 0.1 ms, few enough that two CPUs do not lose them by themselves.
const RATE_PPS: u64 = 10_000;
/// Traffic around every step.
const PHASE: Duration = Duration::from_millis(500);
/// The flow ends by itself if a restart hangs.
const DURATION_MAX: Duration = Duration::from_mins(1);
/// Where the receiver listens.
const PORT: u16 = 5201;
/// Ports of the other layout: every map has another size, so the agent makes new ones and moves everything over.
const OTHER_PORTS_MAX: &str = "2048";

/// What plexusd is killed for.
const STEPS: [(&str, &[&str]); 3] =
    [("restart", &[]), ("upgrade", &["--ports-max", OTHER_PORTS_MAX]), ("downgrade", &[])];

/// One flow of numbered datagrams, pod to pod, for each step.
pub(super) fn measure(
    stage: &mut Stage,
    options: &ForwardOptions,
    screen: &Screen,
    report: &mut BenchReport,
) -> Result<()> {
    let phase = PHASE.min(options.duration());
    let progress = screen.progress("restart, upgrade and downgrade under load", STEPS.len() as u64);
    let mut lost = 0;
    for (name, arguments) in STEPS {
        let (from, to) = stage.plexus_pair();
        let spec = FlowSpec {
            to: to.at(PORT),
            rate_pps: RATE_PPS,
            payload_bytes: 64,
            duration: DURATION_MAX,
            warm_up: Duration::ZERO,
        };
        let flow = Flow::start(&from.netns, &to.netns, spec)?;
        std::thread::sleep(phase);
        let mut setup = stage.plexusd.setup().clone();
        setup.arguments = arguments.iter().map(ToString::to_string).collect();
        stage.plexusd.kill()?;
        std::thread::sleep(phase);
        stage.plexusd = setup.start().with_context(|| format!("plexusd did not come back: {name}"))?;
        std::thread::sleep(phase);
        let seen = flow.finish()?;
        ensure!(seen.received > 0, "{name}: nothing arrived");
        for (what, count) in [("sent", seen.sent), ("received", seen.received)] {
            #[expect(clippy::cast_precision_loss, reason = "packets of a minute are far below 2^53")]
            let figures = Figures::of_rounds(&[count as f64], "packets");
            report.arms.extend(figures.map(|it| (format!("restart.{name}_{what}"), it)));
        }
        lost += seen.lost;
        progress.inc(1);
    }
    progress.finish_and_clear();
    #[expect(clippy::cast_precision_loss, reason = "packets of a minute are far below 2^53")]
    report.ratios.insert("restart_lost_packets", lost as f64);
    report.conditions.insert(
        "restart",
        json!(format!(
            "{RATE_PPS} datagrams/s pod to pod; plexusd killed by SIGKILL and started again: as it was, with \
             --ports-max {OTHER_PORTS_MAX} (other maps), and back"
        )),
    );
    Ok(())
}
