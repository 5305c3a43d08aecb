//! `plexus-bench demo`: two pods, from ADD to DEL, with every claim checked against the kernel.
//!
//! ```text
//!   pod-a eth0 ─┬─ cni0 (bridge)                             default network "cluster"
//!   pod-b eth0 ─┘
//!   pod-a net1 ─── macvlan ── uplink1 ═══ eth1 outside       network "lan", chained `tuning` executed
//!   pod-a net2 ─┬─ fastpath ─ uplink0 ═══ eth0 outside       network "blue", VLAN 100 on the wire
//!   pod-b blue0 ┘
//! ```

mod agent;
mod attach;
mod cleanup;
mod forward;
mod ping;
mod police;
mod report;
mod restart;
mod stage;
mod station;
mod tables;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::DemoOptions;
use crate::report::write;
use crate::screen::Screen;
use report::DemoReport;
use stage::Stage;

/// Plays the demo, writes the report whatever happened, and tells whether every expectation held.
pub(crate) fn verb(options: &DemoOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = DemoReport::new();
    let played = play(options, screen, &mut report);
    if let Err(error) = played {
        screen.expect(false, "the demo cannot go on", &format!("{error:#}"));
    }
    report.end(screen);
    if let Some(path) = &options.common.report {
        write(path, &report)?;
        screen.note(&format!("report: {}", path.display()));
    }
    screen.verdict();
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One act after the other; all of it is in namespaces that are gone when this returns.
fn play(options: &DemoOptions, screen: &mut Screen, report: &mut DemoReport) -> Result<()> {
    let mut stage = Stage::build(options, screen)?;
    let mut pods = attach::pods(&stage, screen, report)?;
    let stations = station::all(&stage, &pods);
    ping::every_pair(&stations, screen, report)?;
    forward::packets(&stage, &stations, screen, report)?;
    police::rates(&stage, &stations, screen, report)?;
    restart::under_traffic(&mut stage, &stations, screen, report)?;
    tables::show(&stage, screen)?;
    cleanup::everything(&mut stage, &mut pods, screen, report)
}
