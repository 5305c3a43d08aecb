//! Sockets that the shim opened inside a network namespace and passed to us.

use std::ffi::{c_char, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `SIOCETHTOOL`, linux/sockios.h.
const SIOCETHTOOL: u32 = 0x8946;
/// `ETHTOOL_SGRO`, linux/ethtool.h.
const ETHTOOL_SGRO: u32 = 0x2c;

/// The kernel's `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// The part of the kernel's `struct ifreq` that SIOCETHTOOL reads, padded to its full 40 bytes.
#[repr(C)]
struct EthtoolRequest {
    name: [c_char; libc::IFNAMSIZ],
    data: *mut c_void,
    padding: [u8; 16],
}

/// Turns generic receive offload of `ifname` on, in the network namespace of `socket`.
///
/// A frame redirected into a veth is lost unless its peer has NAPI, which GRO gives it (`veth_xdp_xmit`,
/// drivers/net/veth.c). The ioctl acts on the socket's namespace, so nothing has to enter it.
pub fn enable_gro(socket: BorrowedFd<'_>, ifname: &str) -> Result<(), Errno> {
    let mut value = EthtoolValue { cmd: ETHTOOL_SGRO, data: 1 };
    let mut request =
        EthtoolRequest { name: [0; libc::IFNAMSIZ], data: (&raw mut value).cast(), padding: [0; 16] };
    if ifname.len() >= libc::IFNAMSIZ {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in request.name.iter_mut().zip(ifname.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: `request` has the layout and size of the kernel's ifreq, and its data points to `value`, which outlives
    // the call and has the layout that ETHTOOL_SGRO reads.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL.into(), &raw mut request) };
    Errno::result(outcome).map(drop)
}
