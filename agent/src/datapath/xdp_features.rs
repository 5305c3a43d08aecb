//! What XDP can do on a device, asked of the kernel's `netdev` generic netlink family instead of a list of drivers.
//!
//! Source: Documentation/netlink/specs/netdev.yaml of the kernel, from 6.3 on.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt,
        socket, sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};

use super::error::{DatapathError, Result};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const MESSAGE_HEADER_BYTES: usize = 16;
const GENERIC_HEADER_BYTES: usize = 4;
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// The kernel answers such requests within the call; the limit only keeps a fault from hanging the agent.
const ANSWER_LIMIT: TimeVal = TimeVal::new(1, 0);

/// XDP features of one device, as the driver declares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpFeatures(u64);

impl XdpFeatures {
    const BASIC: u64 = 1;
    const REDIRECT: u64 = 1 << 1;
    const NDO_XMIT: u64 = 1 << 2;

    /// Asks about a device of the thread's network namespace.
    pub(super) fn of(ifindex: u32) -> Result<Self> {
        query(ifindex).map(Self).map_err(|source| DatapathError::Device {
            action: "read the XDP features",
            ifindex,
            source,
        })
    }

    /// Whether a program on the device can redirect what it receives.
    pub(super) const fn can_redirect(self) -> bool {
        self.0 & (Self::BASIC | Self::REDIRECT) == Self::BASIC | Self::REDIRECT
    }

    /// Whether frames can be redirected to the device. A veth can take them only while GRO is on at its other end.
    pub(super) const fn can_receive(self) -> bool {
        self.0 & Self::NDO_XMIT != 0
    }
}

fn query(ifindex: u32) -> io::Result<u64> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)?;
    setsockopt(&socket, ReceiveTimeout, &ANSWER_LIMIT)?;
    let family = ask(&socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"netdev\0")?;
    let family =
        attribute(&family, CTRL_ATTR_FAMILY_ID).and_then(|id| id.try_into().ok()).map(u16::from_ne_bytes);
    let family = family.ok_or_else(|| io::Error::other("the kernel did not name the netdev family"))?;
    let device = ask(&socket, family, NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes())?;
    let features = attribute(&device, NETDEV_A_DEV_XDP_FEATURES).and_then(|value| value.try_into().ok());
    features.map(u64::from_ne_bytes).ok_or_else(|| io::Error::other("the kernel did not tell the features"))
}

/// Sends a request with one attribute and returns the attributes of the answer.
fn ask(socket: &OwnedFd, family: u16, command: u8, attribute: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    let attribute_bytes = ATTRIBUTE_HEADER_BYTES + value.len();
    let bytes = MESSAGE_HEADER_BYTES + GENERIC_HEADER_BYTES + attribute_bytes.next_multiple_of(4);
    let mut request = Vec::with_capacity(bytes);
    request.extend(u32::try_from(bytes).map_err(io::Error::other)?.to_ne_bytes());
    request.extend(family.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([command, 1, 0, 0]);
    request.extend(u16::try_from(attribute_bytes).map_err(io::Error::other)?.to_ne_bytes());
    request.extend(attribute.to_ne_bytes());
    request.extend(value);
    request.resize(bytes, 0);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; 16 * 1024];
    let received = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(received);
    unwrap_answer(&answer)
}

/// The attributes of an answer, or the error it carries.
fn unwrap_answer(answer: &[u8]) -> io::Result<Vec<u8>> {
    let cut_off = || io::Error::other("the kernel's answer is cut off");
    let kind =
        answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(cut_off)?;
    let body = answer.get(MESSAGE_HEADER_BYTES..).ok_or_else(cut_off)?;
    if kind == NLMSG_ERROR {
        let code = body
            .get(..4)
            .and_then(|code| code.try_into().ok())
            .map(i32::from_ne_bytes)
            .ok_or_else(cut_off)?;
        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
    }
    body.get(GENERIC_HEADER_BYTES..).map(<[u8]>::to_vec).ok_or_else(cut_off)
}

/// The value of an attribute in a list of attributes.
fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [l0, l1, k0, k1, ..] = *list {
        let bytes = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = list.get(ATTRIBUTE_HEADER_BYTES..bytes)?;
        if u16::from_ne_bytes([k0, k1]) == wanted {
            return Some(value);
        }
        list = list.get(bytes.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_behind_others() {
        let mut list = vec![5, 0, 9, 0, 1, 0, 0, 0];
        list.extend([6, 0, 1, 0, 0x34, 0x12, 0, 0]);
        assert_eq!(attribute(&list, 1), Some([0x34, 0x12].as_slice()));
        assert_eq!(attribute(&list, 7), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_reader_fail_worse_than_nothing_found(bytes: Vec<u8>, wanted: u16) {
            proptest::prop_assert!(attribute(&bytes, wanted).is_none_or(|value| value.len() <= bytes.len()));
            proptest::prop_assert!(unwrap_answer(&bytes).is_err() || bytes.len() >= 20);
        }
    }
}
