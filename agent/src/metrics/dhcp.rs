//! How it stands with leases.

use super::series::{Labels, Series, number};
use crate::ipam::dhcp::Dhcp;

/// Leases, and what happened to them.
pub(super) fn series(dhcp: &Dhcp) -> Vec<Series> {
    let (held, late) = dhcp.held();
    let row = |(event, count): (&'static str, u64)| -> (Labels, f64) {
        (vec![("event", event.to_owned())], number(count))
    };
    vec![
        Series::single("plexus_dhcp_leases", "Addresses of pods that are leased from a DHCP server", held),
        Series::single(
            "plexus_dhcp_leases_late",
            "Leases whose server has not extended them in its time: without an answer they end",
            late,
        ),
        Series::counter(
            "plexus_dhcp_lease_events",
            "What happened to leases, by event",
            dhcp.counts.rows().into_iter().map(row).collect(),
        ),
    ]
}
