//! What XDP can do on a device, asked of the kernel's `netdev` generic netlink family instead of a list of drivers.
//!
//! Source: Documentation/netlink/specs/netdev.yaml of the kernel, from 6.3 on.

use std::io;

use nix::sys::socket::SockProtocol;

use super::{
    error::{DatapathError, Result},
    netlink::{Conversation, REQUEST, Request, attribute},
};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

const GENERIC_HEADER_BYTES: usize = 4;

/// XDP features of one device, as the driver declares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpFeatures(u64);

impl XdpFeatures {
    const BASIC: u64 = 1;
    const REDIRECT: u64 = 1 << 1;
    const NDO_XMIT: u64 = 1 << 2;
    const RX_SG: u64 = 1 << 5;
    const NDO_XMIT_SG: u64 = 1 << 6;

    /// Asks about a device of the thread's network namespace.
    pub(super) fn of(ifindex: u32) -> Result<Self> {
        query(ifindex).map(Self).map_err(|source| DatapathError::Device {
            action: "read the XDP features",
            ifindex,
            source,
        })
    }

    /// Whether the driver runs programs itself; otherwise there is only the generic way, after an skb was made.
    pub(super) const fn is_native(self) -> bool {
        self.0 & Self::BASIC != 0
    }

    /// Whether a program on the device can redirect what it receives.
    pub(super) const fn can_redirect(self) -> bool {
        self.0 & (Self::BASIC | Self::REDIRECT) == Self::BASIC | Self::REDIRECT
    }

    /// Whether a program on the device sees frames of several buffers, as jumbo frames are; without, the driver refuses
    /// programs while its MTU is above one buffer.
    pub(super) const fn has_jumbo_frames(self) -> bool {
        self.0 & Self::RX_SG != 0
    }

    /// Whether frames of any size can be redirected to the device. A veth can take them only while GRO is on at its
    /// other end; a device that takes single buffers only would lose jumbo frames without a word.
    pub(super) const fn can_receive(self) -> bool {
        self.0 & (Self::NDO_XMIT | Self::NDO_XMIT_SG) == Self::NDO_XMIT | Self::NDO_XMIT_SG
    }
}

fn query(ifindex: u32) -> io::Result<u64> {
    let kernel = Conversation::open(SockProtocol::NetlinkGeneric)?;
    let name = (CTRL_ATTR_FAMILY_NAME, b"netdev\0".as_slice());
    let family = ask(&kernel, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, name, CTRL_ATTR_FAMILY_ID)?;
    let family = family.try_into().map(u16::from_ne_bytes);
    let family = family.map_err(|_| io::Error::other("the kernel did not name the netdev family"))?;
    let device = (NETDEV_A_DEV_IFINDEX, ifindex.to_ne_bytes());
    let device = (device.0, device.1.as_slice());
    let features = ask(&kernel, family, NETDEV_CMD_DEV_GET, device, NETDEV_A_DEV_XDP_FEATURES)?;
    let features = features.try_into().map(u64::from_ne_bytes);
    features.map_err(|_| io::Error::other("the kernel did not tell the features"))
}

/// Asks with one attribute and returns one attribute of the answer, empty if it is not there.
fn ask(
    kernel: &Conversation,
    family: u16,
    command: u8,
    (kind, value): (u16, &[u8]),
    wanted: u16,
) -> io::Result<Vec<u8>> {
    let request = Request::new(family, REQUEST, &[command, 1, 0, 0]).attribute(kind, value);
    let answer = kernel.ask(request)?;
    let attributes = answer.get(GENERIC_HEADER_BYTES..).unwrap_or_default();
    Ok(attribute(attributes, wanted).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_takes_single_buffers_only_is_left_to_tc() {
        assert!(!XdpFeatures(XdpFeatures::BASIC | XdpFeatures::NDO_XMIT).can_receive());
        assert!(XdpFeatures(XdpFeatures::NDO_XMIT | XdpFeatures::NDO_XMIT_SG).can_receive());
    }
}
