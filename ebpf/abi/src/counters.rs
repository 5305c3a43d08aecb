//! What one port has seen, and what it has paid ahead.

use crate::DROP_SLOTS;

/// Hints of one port on one CPU.
pub const HINTS: usize = 4;

/// The place of a MAC address, as a number whose lowest byte is the first, among `HINTS`: by its last byte, in which pods
/// of one network differ.
#[inline]
pub const fn hint_index(mac: u64) -> usize {
    (mac >> 40) as usize % HINTS
}

shared! {
    /// Counters of one port on one CPU, seen from the pod: `rx` went to the pod, `tx` came from it.
    ///
    /// What an unlimited or a limited packet changes is in the first 64 bytes: one line of the processor's cache.
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
        /// Time that the policers have paid ahead for this CPU, by `Direction`, in ticks of 2^-8 ns.
        pub leases: [u64; 2],
        /// Ports that frames from this one went to lately, by [`hint_index`] of the MAC address; no more than where to look first.
        pub hints: [u32; HINTS],
        /// Packets dropped, by the number of their `DropReason`; an offload packet counts once.
        pub drops: [u64; DROP_SLOTS],
    }
}

impl Counters {
    /// Adds another CPU's counters to these. Leases and hints are no counters and stay.
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
