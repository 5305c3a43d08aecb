//! The generator: run on live frames by BPF_PROG_TEST_RUN, it sends each out of one device, the flows in turn.

use aya_ebpf::{
    bindings::xdp_action::XDP_DROP,
    macros::{map, xdp},
    maps::{Array, DevMap, PerCpuArray},
    programs::XdpContext,
};

/// The device that frames leave by, in entry 0.
#[map]
pub(crate) static TARGET: DevMap = DevMap::with_max_entries(1, 0);

/// Number of flows in entry 0, a power of two; they differ by their UDP source port.
#[map]
static FLOWS: Array<u32> = Array::with_max_entries(1, 0);

/// Frames of this CPU so far, in entry 0.
#[map]
static SEQUENCE: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// The first flow's source port.
const FIRST_PORT: u16 = 0x4000;
/// Where the source port of UDP over IPv4 without options lies in an Ethernet frame.
const SOURCE_OFFSET: usize = 34;

#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    let port = ctx.data() + SOURCE_OFFSET;
    if port + 2 > ctx.data_end() {
        return XDP_DROP;
    }
    let (Some(flows), Some(sequence)) = (FLOWS.get(0), SEQUENCE.get_ptr_mut(0)) else { return XDP_DROP };
    // SAFETY: a per-CPU slot; and two bytes inside of the frame, without alignment as a byte array.
    unsafe {
        *sequence = (*sequence).wrapping_add(1);
        #[expect(clippy::cast_possible_truncation, reason = "fewer flows than ports")]
        let flow = (*sequence & flows.wrapping_sub(1)) as u16;
        *(port as *mut [u8; 2]) = FIRST_PORT.wrapping_add(flow).to_be_bytes();
    }
    TARGET.redirect(0, u64::from(XDP_DROP)).unwrap_or(XDP_DROP)
}
