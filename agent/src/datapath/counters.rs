//! Counters as people and metrics read them.

use std::collections::BTreeMap;

use plexus_abi::{Counters, DropReason};
use serde::Serialize;

/// Counters of one port, seen from the pod, summed over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortCounters {
    /// Frames delivered to the pod.
    pub rx_packets: u64,
    /// Bytes delivered to the pod: Ethernet frames without FCS and VLAN tag.
    pub rx_bytes: u64,
    /// Frames accepted from the pod.
    pub tx_packets: u64,
    /// Bytes accepted from the pod.
    pub tx_bytes: u64,
    /// Dropped packets by `plexus_abi::DropReason` name; every reason is there, most of them 0.
    pub drops: BTreeMap<&'static str, u64>,
}

impl From<Counters> for PortCounters {
    fn from(sum: Counters) -> Self {
        let drops = DropReason::ALL.map(|reason| (reason.as_str(), sum.drops[reason.slot()]));
        Self {
            rx_packets: sum.rx_packets,
            rx_bytes: sum.rx_bytes,
            tx_packets: sum.tx_packets,
            tx_bytes: sum.tx_bytes,
            drops: drops.into_iter().collect(),
        }
    }
}
