//! AF_XDP at the receiving end: the program that hands frames over, and the sockets that take them.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::XskMap;
use aya::programs::XdpMode;
use plexus_agent::sandbox::XskReceiver;

use super::end::End;
use super::object;
use super::sink::Receiver;

/// Takes stamped frames before the network stack sees them, as long as it lives.
pub(crate) struct XskInlet {
    // In this order: frames of a program without sockets go on into the stack.
    _program: Ebpf,
    pub(crate) sockets: XskReceiver,
}

impl XskInlet {
    /// Takes every receive queue of the end's device.
    pub(crate) fn open(to: &End, receiver: Receiver) -> Result<Self> {
        to.netns.within(|| {
            let sockets = XskReceiver::open(&to.device)?;
            let mut program = object::load()?;
            let map = program.map_mut("SOCKETS").context("the object has no map SOCKETS")?;
            let mut map = XskMap::try_from(map)?;
            for (queue, socket) in (0..).zip(sockets.sockets()) {
                map.set(queue, socket, 0).with_context(|| format!("cannot hand queue {queue} over"))?;
            }
            object::attach_xdp(&mut program, "redirect_xsk", &to.device, mode(receiver)).with_context(
                || {
                    format!(
                        "{} does not hand frames over to AF_XDP; af-packet receives on every device",
                        to.device
                    )
                },
            )?;
            Ok(Self { _program: program, sockets })
        })?
    }
}

/// Where the program runs: behind a bridge or a data plane frames may arrive past the driver.
fn mode(receiver: Receiver) -> XdpMode {
    match receiver {
        Receiver::Xdp => XdpMode::Driver,
        Receiver::GenericXdp | Receiver::Stack => XdpMode::Skb,
    }
}
