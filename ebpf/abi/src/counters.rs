//! What one port has seen.

use crate::DROP_SLOTS;

shared! {
    /// Counters of one port on one CPU, seen from the pod: `rx` went to the pod, `tx` came from it.
    ///
    /// Bytes are Ethernet frames without FCS and without the network's VLAN tag. A segmentation offload packet
    /// counts as the frames it becomes on the wire.
    pub struct Counters {
        /// Frames delivered to the pod.
        pub rx_packets: u64,
        /// Bytes delivered to the pod.
        pub rx_bytes: u64,
        /// Frames accepted from the pod.
        pub tx_packets: u64,
        /// Bytes accepted from the pod.
        pub tx_bytes: u64,
        /// Packets dropped, by the number of their `DropReason`; an offload packet counts once.
        pub drops: [u64; DROP_SLOTS],
    }
}

impl Counters {
    /// Adds another CPU's counters to these.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets = self.rx_packets.wrapping_add(other.rx_packets);
        self.rx_bytes = self.rx_bytes.wrapping_add(other.rx_bytes);
        self.tx_packets = self.tx_packets.wrapping_add(other.tx_packets);
        self.tx_bytes = self.tx_bytes.wrapping_add(other.tx_bytes);
        for (sum, drops) in self.drops.iter_mut().zip(other.drops) {
            *sum = sum.wrapping_add(drops);
        }
    }
}
