//! What the data plane must know of a device, and set on it. Everything here works in the thread's network namespace.
#![allow(unsafe_code, reason = "the ethtool ioctl takes pointers")]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    net::if_::if_indextoname,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    error::{DatapathError, Result},
    xdp_features::XdpFeatures,
};

// Numbers of include/uapi/linux/ethtool.h.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETH_FLAG_TXVLAN: u32 = 1 << 7;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// The name of a device, which aya wants instead of the index.
pub(super) fn name(ifindex: u32) -> Result<String> {
    let name = if_indextoname(ifindex).map_err(failed("find the name", ifindex))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the device is a veth; one that cannot be asked is none.
pub(super) fn is_veth(ifindex: u32) -> bool {
    has_driver(ifindex, b"veth\0")
}

/// Whether the device is an end of a netkit pair; one that cannot be asked is none.
pub(super) fn is_netkit(ifindex: u32) -> bool {
    has_driver(ifindex, b"netkit\0")
}

fn has_driver(ifindex: u32, name: &[u8]) -> bool {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    ethtool(ifindex, &mut info).is_ok() && info.driver.starts_with(name)
}

/// Whether the device takes VLAN tags out of the bytes of received frames, so that XDP cannot see them.
pub(super) fn strips_vlan_tags(ifindex: u32) -> Result<bool> {
    let flags = value(ifindex, ETHTOOL_GFLAGS, 0).map_err(failed("read the offload flags", ifindex))?;
    Ok(flags & ETH_FLAG_RXVLAN != 0)
}

/// Makes a veth send frames as a wire would carry them: VLAN tags among the bytes, checksums computed.
pub(super) fn send_as_on_a_wire(ifindex: u32) -> Result<()> {
    let flags = value(ifindex, ETHTOOL_GFLAGS, 0).map_err(failed("read the offload flags", ifindex))?;
    value(ifindex, ETHTOOL_SFLAGS, flags & !ETH_FLAG_TXVLAN)
        .map_err(failed("switch off VLAN insertion", ifindex))?;
    value(ifindex, ETHTOOL_STXCSUM, 0).map_err(failed("switch off checksum offload", ifindex))?;
    Ok(())
}

/// Whether the driver of a device runs XDP programs itself; nothing where the kernel does not say (before Linux 6.3).
pub fn has_native_xdp(ifindex: u32) -> Option<bool> {
    XdpFeatures::of(ifindex).ok().map(XdpFeatures::is_native)
}

/// Turns GRO on, in the thread's network namespace.
///
/// The pod's end of a fastpath veth needs it before [`add_port`](super::Datapath::add_port), or XDP cannot redirect
/// into the veth and tcx does the work. Call it when that end is up: the kernel tells the host's end only then.
pub fn enable_gro(ifindex: u32) -> Result<()> {
    value(ifindex, ETHTOOL_SGRO, 1).map(|_| ()).map_err(failed("switch on GRO", ifindex))
}

fn value(ifindex: u32, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    ethtool(ifindex, &mut value)?;
    Ok(value.data)
}

/// `T` is the struct of the command that it begins with.
fn ethtool<T>(ifindex: u32, command: &mut T) -> io::Result<()> {
    let name = if_indextoname(ifindex)?;
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.as_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *slot = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(command).cast();
    // SAFETY: SIOCETHTOOL reads and writes the command's struct behind ifru_data; both structs outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn failed<E: Into<io::Error>>(action: &'static str, ifindex: u32) -> impl Fn(E) -> DatapathError {
    move |source| DatapathError::Device { action, ifindex, source: source.into() }
}
