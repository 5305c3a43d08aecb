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

use super::error::{DatapathError, Result};

// Numbers of include/uapi/linux/ethtool.h.
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

/// The name of a device, which aya wants instead of the index.
pub(super) fn name(ifindex: u32) -> Result<String> {
    let name = if_indextoname(ifindex).map_err(failed("find the name", ifindex))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the device takes VLAN tags out of the bytes of received frames, so that XDP cannot see them.
pub(super) fn strips_vlan_tags(ifindex: u32) -> Result<bool> {
    let flags = ethtool(ifindex, ETHTOOL_GFLAGS, 0).map_err(failed("read the offload flags", ifindex))?;
    Ok(flags & ETH_FLAG_RXVLAN != 0)
}

/// Makes the kernel put VLAN tags into the bytes of frames that the device sends, as a wire would carry them.
pub(super) fn send_tags_in_bytes(ifindex: u32) -> Result<()> {
    let flags = ethtool(ifindex, ETHTOOL_GFLAGS, 0).map_err(failed("read the offload flags", ifindex))?;
    let set = ethtool(ifindex, ETHTOOL_SFLAGS, flags & !ETH_FLAG_TXVLAN);
    set.map(|_| ()).map_err(failed("switch off VLAN insertion", ifindex))
}

/// Turns GRO on.
///
/// The pod's end of a veth needs it: frames that XDP redirects into a veth vanish without NAPI at its other end.
pub fn enable_gro(ifindex: u32) -> Result<()> {
    ethtool(ifindex, ETHTOOL_SGRO, 1).map(|_| ()).map_err(failed("switch on GRO", ifindex))
}

fn ethtool(ifindex: u32, command: u32, data: u32) -> io::Result<u32> {
    let name = if_indextoname(ifindex)?;
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command, data };
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.as_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *slot = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads and writes the `ethtool_value` behind ifru_data; both structs outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value.data) }
}

fn failed<E: Into<io::Error>>(action: &'static str, ifindex: u32) -> impl Fn(E) -> DatapathError {
    move |source| DatapathError::Device { action, ifindex, source: source.into() }
}
