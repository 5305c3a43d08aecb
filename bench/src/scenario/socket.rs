//! What stamped frames leave and arrive by: an AF_PACKET or an AF_XDP socket.

use anyhow::{Context as _, Result};
use plexus_agent::sandbox::{FrameBuffers, FrameSocket, XskSender};

use super::file::GeneratorKind;
use super::stamp::STAMPED;
use crate::packets::end::End;
use crate::packets::sink::Receiver;
use crate::packets::xsk::XskInlet;

/// Takes frames to the device.
pub(crate) enum Outlet {
    Packet(FrameSocket),
    Xdp(Box<XskSender>),
}

/// Brings frames from the device.
pub(crate) enum Inlet {
    Packet(FrameSocket, FrameBuffers),
    Xdp(Box<XskInlet>),
}

impl Outlet {
    /// An outlet of the kind that the generator is.
    pub(crate) fn open(from: &End, generator: GeneratorKind) -> Result<Self> {
        let opened = from.netns.within(|| match generator {
            GeneratorKind::AfXdp => Ok(Self::Xdp(Box::new(XskSender::open(&from.device)?))),
            GeneratorKind::AfPacket | GeneratorKind::XdpLive => Self::packet(&from.device),
        })?;
        opened.with_context(|| format!("cannot send frames on {}", from.device))
    }

    /// An AF_PACKET socket on a device of this network namespace.
    pub(crate) fn packet(device: &str) -> Result<Self> {
        Ok(Self::Packet(FrameSocket::sender(device)?))
    }

    /// Sends the first of `frames`; gives how many the device took.
    pub(crate) fn send(&mut self, frames: &[Vec<u8>]) -> Result<usize> {
        match self {
            Self::Packet(socket) => socket.send(frames).context("the device takes no frames"),
            Self::Xdp(socket) => Ok(socket.send(frames)?),
        }
    }

    /// Waits until all are sent; gives how many of those that seemed to be taken were not.
    pub(crate) fn finish(&mut self) -> Result<usize> {
        match self {
            Self::Packet(_) => Ok(0),
            Self::Xdp(socket) => Ok(socket.finish()?),
        }
    }
}

impl Inlet {
    /// An inlet of the kind that the generator is; `receiver` says how far frames get at this end.
    pub(crate) fn open(to: &End, generator: GeneratorKind, receiver: Receiver) -> Result<Self> {
        let opened = match generator {
            GeneratorKind::AfXdp => XskInlet::open(to, receiver).map(|inlet| Self::Xdp(Box::new(inlet))),
            GeneratorKind::AfPacket | GeneratorKind::XdpLive => {
                to.netns.within(|| Self::packet(&to.device))?
            }
        };
        opened.with_context(|| format!("cannot receive frames on {}", to.device))
    }

    /// An AF_PACKET socket on a device of this network namespace.
    pub(crate) fn packet(device: &str) -> Result<Self> {
        Ok(Self::Packet(FrameSocket::receiver(device, STAMPED)?, FrameBuffers::default()))
    }

    /// Waits a moment for frames and hands the begin of each to `each`; gives their number.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        match self {
            Self::Packet(socket, buffers) => {
                socket.receive(buffers, |frame, _| each(frame)).context("the receiving socket failed")
            }
            Self::Xdp(inlet) => Ok(inlet.sockets.receive(|frame, _| each(frame))?),
        }
    }

    /// Frames that found no room since this was asked last.
    pub(crate) fn dropped(&mut self) -> Result<u64> {
        match self {
            Self::Packet(socket, _) => socket.dropped().context("the receiving socket has no statistics"),
            Self::Xdp(inlet) => Ok(inlet.sockets.dropped()?),
        }
    }
}
