//! What counts frames at their destination and drops them.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::PerCpuArray;
use aya::programs::XdpMode;

use super::end::End;
use super::object;

/// How far a frame gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// To XDP of the driver: no socket buffer is made.
    Xdp,
    /// To XDP behind a socket buffer, where the driver has no XDP (macvlan).
    GenericXdp,
    /// To tc ingress, where the network stack begins.
    Stack,
}

/// Counts what the generator sends to an end, as long as it lives.
pub(crate) struct Sink {
    ebpf: Ebpf,
}

/// Frames and bytes without FCS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Sink {
    /// Starts to count at zero.
    pub(crate) fn attach(to: &End, receiver: Receiver) -> Result<Self> {
        to.netns.within(|| {
            let mut ebpf = object::load()?;
            match receiver {
                Receiver::Xdp => object::attach_xdp(&mut ebpf, "sink_xdp", &to.device, XdpMode::Driver)?,
                Receiver::GenericXdp => object::attach_xdp(&mut ebpf, "sink_xdp", &to.device, XdpMode::Skb)?,
                Receiver::Stack => object::attach_tc(&mut ebpf, "sink_tc", &to.device)?,
            }
            Ok(Self { ebpf })
        })?
    }

    /// What has arrived so far.
    pub(crate) fn seen(&self) -> Result<Seen> {
        let map = self.ebpf.map("SEEN").context("the object has no map SEEN")?;
        let map = PerCpuArray::<_, u64>::try_from(map)?;
        let sum = |index: u32| -> Result<u64> { Ok(map.get(&index, 0)?.iter().sum()) };
        Ok(Seen { packets: sum(0)?, bytes: sum(1)? })
    }
}
