//! What TCP makes of a limit: payload, headers, and what is left.

use crate::profile::{Profile, Row};
use crate::report::BenchReport;

const WHAT: &str = "Percent of the limit. Payload is what the receiver read, less the burst; headers are those that it takes at least \
     (66 of 1514 bytes of a frame: Ethernet, IPv4, TCP with timestamps). The rest was not used while TCP waited after losses, or held bytes \
     that were sent twice.";
/// Bytes of a full frame without FCS that are headers, and those that are payload.
const HEADERS: f64 = 66.0;
const PAYLOAD: f64 = 1448.0;

/// One row for each arm and rate; nothing if no TCP was measured.
pub(super) fn profile(report: &BenchReport) -> Option<Profile> {
    let rows: Vec<_> = report
        .arms
        .iter()
        .filter_map(|(arm, figures)| Some((arm.strip_prefix("tcp_goodput.")?, figures.median)))
        .map(|(arm, payload)| {
            let headers = payload * HEADERS / PAYLOAD;
            let parts = [
                ("payload", payload),
                ("headers", headers),
                ("not used, or sent twice", 100.0 - payload - headers),
            ];
            Row::of(arm, parts.map(|(name, value)| (name.to_owned(), value)))
        })
        .collect();
    (!rows.is_empty()).then(|| Profile {
        what: WHAT.into(),
        unit: "% of the limit",
        explains: Vec::new(),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn payload_headers_and_rest_are_the_whole_limit() {
        let mut report = BenchReport::begin("police");
        assert!(profile(&report).is_none());
        report.arms.insert("tcp_goodput.plexus.10M".into(), Figures::of_rounds(&[90.0], "%").unwrap());
        let profile = profile(&report).unwrap();
        assert_eq!(profile.rows[0].name, "plexus.10M");
        assert!((profile.rows[0].total - 100.0).abs() < 1e-9);
        assert!((profile.rows[0].parts[1].value - 4.102).abs() < 1e-3);
    }
}
