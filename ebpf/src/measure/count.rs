//! What a sink counts, per CPU.

use aya_ebpf::{macros::map, maps::PerCpuArray};

/// Packets in entry 0, bytes in entry 1.
#[map]
static SEEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Packets and bytes side by side, as the data plane keeps them; only [`add_at_once`] uses it.
#[map]
static TOGETHER: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1, 0);

/// UDP's discard port: what the generator sends to. Everything else (ARP, neighbour discovery) is none of a sink's.
pub(crate) const DISCARD: u16 = 9;
/// Where the destination port of UDP over IPv4 without options lies in an Ethernet frame.
pub(crate) const DESTINATION_OFFSET: usize = 36;

/// Counts one frame of this many bytes.
#[inline(always)]
pub(crate) fn add(bytes: u64) {
    for (index, value) in [(0, 1), (1, bytes)] {
        if let Some(slot) = SEEN.get_ptr_mut(index) {
            // SAFETY: a per-CPU slot; programs of one CPU run to their end one by one.
            unsafe { *slot += value };
        }
    }
}

/// Counts one frame of this many bytes with one look-up, as the data plane does.
#[inline(always)]
pub(crate) fn add_at_once(bytes: u64) {
    if let Some(slot) = TOGETHER.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe {
            (*slot)[0] += 1;
            (*slot)[1] += bytes;
        }
    }
}
