//! Gates on the devices of ports, and on uplinks where the kernel has no tcx, as classic tc filters.
//!
//! Not tcx: attaching a tcx link waits for an RCU grace period under the RTNL lock, 8 to 14 ms each on the machine
//! where this was measured, against 0.1 ms for a filter, and every pod start would pay it (`tcx_entry_sync` in
//! include/net/tcx.h). A filter also goes through a netlink socket, so nothing must enter the pod's namespace to
//! attach; and it dies with its device, so there is nothing to pin.

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use nix::sys::socket::SockProtocol;

use super::netlink::{ACK, CREATE, Conversation, EXCLUSIVE, REQUEST, Request, attribute};

// include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const TC_H_CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_CLASSID: u16 = 3;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_TAG: u16 = 10;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const ETH_P_ALL: u16 = 3;
const TC_HEADER_BYTES: usize = 20;

/// The filter that leads to a port's own programs: replacing it is atomic.
const HANDLE: u32 = 1;
/// Added to a port's id, the handle of the filter that asks the port's routes: an interface has one for each of the pod's
/// ports whose routes are asked there.
const ROUTE_HANDLE: u32 = 0x1000_0000;

/// A side of a device; the numbers are the filters' parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Side {
    /// What the device receives.
    Ingress = 0xffff_fff2,
    /// What is sent by the device.
    Egress = 0xffff_fff3,
}

/// Where our one filter stands on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    side: Side,
    priority: u16,
    handle: u32,
    /// What the filter's program reads as its class.
    class: Option<u16>,
}

impl Place {
    /// An uplink belongs to the host, where others may have filters of their own, usually of low numbers.
    pub(super) const OF_UPLINK: Self =
        Self { side: Side::Ingress, priority: 7768, handle: HANDLE, class: None };

    /// A port's device is ours: first in line.
    pub(super) const fn of_port(side: Side) -> Self {
        Self { side, priority: 1, handle: HANDLE, class: None }
    }

    /// Where a port's routes are asked, on an interface in its pod. Before a program that counts there: of filters of one
    /// priority the kernel asks the one that came last first (`cls_bpf_change`, net/sched/cls_bpf.c), so that a packet
    /// counts where it leaves.
    pub(super) const fn of_route(port: u32, class: u16) -> Self {
        Self { side: Side::Egress, priority: 1, handle: ROUTE_HANDLE + port, class: Some(class) }
    }

    /// Where a port's shaper stands, on the pod's end of its veth: behind the routes, which may send a packet elsewhere.
    pub(super) const fn of_shaper(class: u16) -> Self {
        Self { side: Side::Egress, priority: 2, handle: HANDLE, class: Some(class) }
    }
}

/// Filters in the network namespace where the value was made.
pub(super) struct Filters {
    kernel: Conversation,
}

impl Filters {
    /// Works on devices of the thread's network namespace, whoever uses it later.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { kernel: Conversation::open(SockProtocol::NetlinkRoute)? })
    }

    /// Works on devices of the network namespace in which `socket`, a NETLINK_ROUTE socket, was opened.
    pub(super) fn over(socket: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { kernel: Conversation::over(socket.try_clone_to_owned()?) })
    }

    /// Makes a device ready for filters; idempotent.
    pub(super) fn prepare(&self, ifindex: u32) -> io::Result<()> {
        let header = header(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0);
        let request = Request::new(RTM_NEWQDISC, REQUEST | ACK | CREATE | EXCLUSIVE, &header);
        match self.kernel.ask(request.attribute(TCA_KIND, b"clsact\0")) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a program in its place on a prepared device, or replaces the one there without losing a packet.
    pub(super) fn set(&self, ifindex: u32, place: Place, name: &str, program: RawFd) -> io::Result<()> {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let (program, direct) = (program.to_ne_bytes(), TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
        let class = place.class.map(|class| u32::from(class).to_ne_bytes());
        let mut options: Vec<(u16, &[u8])> =
            vec![(TCA_BPF_FD, &program), (TCA_BPF_NAME, &text), (TCA_BPF_FLAGS, &direct)];
        options.extend(class.as_ref().map(|class| (TCA_BPF_CLASSID, &class[..])));
        let request = Request::new(RTM_NEWTFILTER, REQUEST | ACK | CREATE, &filter_header(ifindex, place))
            .attribute(TCA_KIND, b"bpf\0")
            .nested(TCA_OPTIONS, &options);
        self.kernel.ask(request).map(|_| ())
    }

    /// The kernel's tag of the program that our filter in a place runs: a hash of its instructions.
    pub(super) fn tag(&self, ifindex: u32, place: Place) -> io::Result<u64> {
        let request = Request::new(RTM_GETTFILTER, REQUEST, &filter_header(ifindex, place));
        let answer = self.kernel.ask(request.attribute(TCA_KIND, b"bpf\0"))?;
        let attributes = answer.get(TC_HEADER_BYTES..).unwrap_or_default();
        let tag = attribute(attributes, TCA_OPTIONS).and_then(|options| attribute(options, TCA_BPF_TAG));
        // The kernel shows the tag's bytes; program information reads them as a number in the same order.
        let tag = tag.and_then(|tag| tag.try_into().ok()).map(u64::from_be_bytes);
        tag.ok_or_else(|| io::Error::other("the filter there is no eBPF program"))
    }

    /// Removes our filter in a place and leaves those of others; one that is not there, or a device that is gone, is fine.
    pub(super) fn remove(&self, ifindex: u32, place: Place) -> io::Result<()> {
        let request = Request::new(RTM_DELTFILTER, REQUEST | ACK, &filter_header(ifindex, place));
        match self.kernel.ask(request.attribute(TCA_KIND, b"bpf\0")) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes every filter of a device; one that is not there, or a device that is gone, is fine.
    pub(super) fn clear(&self, ifindex: u32) -> io::Result<()> {
        let header = header(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0);
        match self.kernel.ask(Request::new(RTM_DELQDISC, REQUEST | ACK, &header)) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EINVAL))
}

fn filter_header(ifindex: u32, place: Place) -> [u8; TC_HEADER_BYTES] {
    let info = u32::from(place.priority) << 16 | u32::from(ETH_P_ALL.to_be());
    header(ifindex, place.handle, place.side as u32, info)
}

/// `struct tcmsg`.
fn header(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; TC_HEADER_BYTES] {
    let mut bytes = [0; TC_HEADER_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(4).skip(1).zip([ifindex, handle, parent, info]) {
        slot.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
