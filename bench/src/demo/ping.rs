//! Pings from every station to every other one on each network they share.

use anyhow::Result;
use plexus_agent::lab::ping::ping;

use super::report::{DemoReport, PingReport};
use super::station::Station;
use crate::screen::Screen;

/// Echo requests for each pair and direction.
const COUNT: u32 = 5;

/// Pings and expects every answer.
pub(super) fn every_pair(stations: &[Station], screen: &mut Screen, report: &mut DemoReport) -> Result<()> {
    screen.heading("Ping, every pair in both directions");
    for from in stations {
        for to in stations.iter().filter(|to| to.name != from.name) {
            for (network, target) in &to.addresses {
                if from.address_on(network).is_err() {
                    continue;
                }
                let echoes = ping(&from.netns, *target, COUNT)?;
                screen.expect(
                    echoes.all_answered(),
                    &format!("{} → {} on {network}", from.name, to.name),
                    &format!("{target}: {} of {} answered", echoes.received, echoes.sent),
                );
                report.pings.push(PingReport {
                    from: from.name.clone(),
                    to: to.name.clone(),
                    network: network.clone(),
                    sent: echoes.sent,
                    received: echoes.received,
                });
            }
        }
    }
    report.pings_ok = !report.pings.is_empty() && report.pings.iter().all(|one| one.received == one.sent);
    Ok(())
}
