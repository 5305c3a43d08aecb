//! Packets, bytes and drops: by port as long as there are not too many, and always by network.

use std::collections::BTreeMap;

use super::series::{Labels, Series, number};
use crate::agent::Agent;
use crate::datapath::PortCounters;

/// Most values of the label `network` in the sums; every other network is counted as one.
const NETWORKS_MAX: usize = 1_000;
const OTHER: &str = "other";
/// What the mark of the other bound says.
const LEFT_OUT: &str =
    "1 where there are more ports than have series of their own: only the sums by network are there";

/// One port's counters and whose they are.
pub(super) struct PortRow {
    pub(super) id: u32,
    pub(super) container_id: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) network: String,
    pub(super) interface: String,
    pub(super) counters: PortCounters,
}

/// The ports of all records; one whose counters cannot be read is left out.
pub(super) fn rows(agent: &Agent) -> Vec<PortRow> {
    let mut rows = Vec::new();
    for record in agent.records.all() {
        for attachment in &record.attachments {
            let Some(port) = &attachment.port else { continue };
            let Ok(counters) = agent.datapath.counters(port.id) else { continue };
            let (namespace, pod) = match &record.pod {
                Some(pod) => (pod.namespace.clone(), pod.name.clone()),
                None => (String::new(), record.container_id.clone()),
            };
            rows.push(PortRow {
                id: port.id,
                container_id: record.container_id.clone(),
                namespace,
                pod,
                network: attachment.nad.clone().unwrap_or_else(|| attachment.network.clone()),
                interface: attachment.ifname.clone(),
                counters,
            });
        }
    }
    rows
}

/// Sums by network that never go down, although ports come and go.
#[derive(Default)]
pub(super) struct NetworkTotals {
    last: BTreeMap<(u32, String), PortCounters>,
    totals: BTreeMap<String, PortCounters>,
}

impl NetworkTotals {
    /// Adds what each port has moved since it was seen last. What a port moved between the last scrape before its end and
    /// its end is in no sum.
    pub(super) fn update(&mut self, rows: &[PortRow]) {
        let mut seen = BTreeMap::new();
        for row in rows {
            let key = (row.id, row.container_id.clone());
            let moved = since(&row.counters, self.last.get(&key));
            let is_known = self.totals.contains_key(&row.network) || self.totals.len() < NETWORKS_MAX;
            let network = if is_known { &row.network } else { OTHER };
            add(self.totals.entry(network.to_owned()).or_default(), &moved);
            seen.insert(key, row.counters.clone());
        }
        self.last = seen;
    }

    /// The sums.
    pub(super) fn series(&self) -> Vec<Series> {
        let rows = self.totals.iter().map(|(network, counters)| {
            let labels: Labels = vec![("network", network.clone())];
            (labels, counters)
        });
        of(
            [
                ("plexus_network_packets", "Frames of all ports of a network, seen from the pods"),
                ("plexus_network_bytes", "Bytes of all ports of a network: Ethernet frames without FCS"),
                ("plexus_network_drops", "Frames of all ports of a network that were dropped, by reason"),
            ],
            rows,
        )
    }
}

/// A port's own series, if there are at most `ports_max` ports, and whether they were left out.
pub(super) fn series(rows: &[PortRow], ports_max: usize) -> Vec<Series> {
    let is_left_out = rows.len() > ports_max;
    let shown = if is_left_out { &[][..] } else { rows };
    let shown = shown.iter().map(|row| {
        let labels = vec![
            ("namespace", row.namespace.clone()),
            ("pod", row.pod.clone()),
            ("network", row.network.clone()),
            ("interface", row.interface.clone()),
        ];
        (labels, &row.counters)
    });
    let mut all = of(
        [
            ("plexus_port_packets", "Frames of a port, seen from its pod"),
            ("plexus_port_bytes", "Bytes of a port, seen from its pod: Ethernet frames without FCS"),
            (
                "plexus_port_drops",
                "Frames of a port that were dropped, by reason; reasons without any are left out",
            ),
        ],
        shown,
    );
    all.push(Series::single("plexus_port_series_left_out", LEFT_OUT, is_left_out.into()));
    all
}

/// Packets, bytes and drops of each row, under these names.
fn of<'a>(
    names: [(&'static str, &'static str); 3],
    rows: impl Iterator<Item = (Labels, &'a PortCounters)>,
) -> Vec<Series> {
    let [mut packets, mut bytes, mut drops] =
        names.map(|(name, help)| Series::counter(name, help, Vec::new()));
    let with = |labels: &Labels, key, value: &str| {
        let mut labels = labels.clone();
        labels.push((key, value.to_owned()));
        labels
    };
    for (labels, counters) in rows {
        packets.rows.push((with(&labels, "direction", "rx"), number(counters.rx_packets)));
        packets.rows.push((with(&labels, "direction", "tx"), number(counters.tx_packets)));
        bytes.rows.push((with(&labels, "direction", "rx"), number(counters.rx_bytes)));
        bytes.rows.push((with(&labels, "direction", "tx"), number(counters.tx_bytes)));
        for (reason, count) in counters.drops.iter().filter(|(_, count)| **count > 0) {
            drops.rows.push((with(&labels, "reason", reason), number(*count)));
        }
    }
    vec![packets, bytes, drops]
}

/// What came on top of `before`; all of it where the port was made anew.
fn since(now: &PortCounters, before: Option<&PortCounters>) -> PortCounters {
    let Some(before) =
        before.filter(|before| now.rx_packets >= before.rx_packets && now.tx_packets >= before.tx_packets)
    else {
        return now.clone();
    };
    let old = |reason: &str| before.drops.get(reason).copied().unwrap_or_default();
    PortCounters {
        rx_packets: now.rx_packets - before.rx_packets,
        rx_bytes: now.rx_bytes.saturating_sub(before.rx_bytes),
        tx_packets: now.tx_packets - before.tx_packets,
        tx_bytes: now.tx_bytes.saturating_sub(before.tx_bytes),
        drops: now.drops.iter().map(|(reason, count)| (*reason, count.saturating_sub(old(reason)))).collect(),
    }
}

fn add(sum: &mut PortCounters, moved: &PortCounters) {
    sum.rx_packets += moved.rx_packets;
    sum.rx_bytes += moved.rx_bytes;
    sum.tx_packets += moved.tx_packets;
    sum.tx_bytes += moved.tx_bytes;
    for (reason, count) in &moved.drops {
        *sum.drops.entry(reason).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, rx_packets: u64) -> PortRow {
        let drops = [("policedToPod", rx_packets / 2), ("malformed", 0)].into();
        PortRow {
            id,
            container_id: format!("c{id}"),
            namespace: "n".into(),
            pod: format!("p{id}"),
            network: format!("n/net{}", id % 2),
            interface: "net1".into(),
            counters: PortCounters { rx_packets, drops, ..PortCounters::default() },
        }
    }

    fn of_network(totals: &NetworkTotals, network: &str) -> u64 {
        totals.totals[network].rx_packets
    }

    fn left_out(value: usize) -> Series {
        Series::single("plexus_port_series_left_out", LEFT_OUT, value)
    }

    #[test]
    fn more_ports_than_allowed_leave_only_the_sums() {
        let rows: Vec<_> = (0..5).map(|id| row(id, 10)).collect();
        let each = series(&rows, 5);
        assert_eq!(each.iter().map(|series| series.rows.len()).collect::<Vec<_>>(), [10, 10, 5, 1]);
        assert_eq!(each[3], left_out(0));
        let none = series(&rows, 4);
        assert!(none[..3].iter().all(|series| series.rows.is_empty()));
        assert_eq!(none[3], left_out(1));
    }

    #[test]
    fn a_sum_stays_when_a_port_goes_and_starts_over_with_a_new_one() {
        let mut totals = NetworkTotals::default();
        totals.update(&[row(0, 10), row(2, 5)]);
        totals.update(&[row(0, 12)]);
        assert_eq!(of_network(&totals, "n/net0"), 17);
        totals.update(&[row(0, 3)]);
        assert_eq!(of_network(&totals, "n/net0"), 20);
        assert_eq!(totals.series()[2].rows.len(), 1);
    }

    #[test]
    fn networks_without_end_are_summed_together() {
        let mut totals = NetworkTotals::default();
        let many = 0..u32::try_from(2 * NETWORKS_MAX).unwrap();
        let rows: Vec<_> = many.map(|id| PortRow { network: format!("net{id}"), ..row(id, 1) }).collect();
        totals.update(&rows);
        assert_eq!(totals.totals.len(), NETWORKS_MAX + 1);
        assert_eq!(of_network(&totals, OTHER), NETWORKS_MAX as u64);
    }
}
