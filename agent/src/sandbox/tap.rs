//! TAP devices: a network link whose other end is a process (`/dev/net/tun`).
//!
//! Source: linux/if_tun.h, Documentation/networking/tuntap.rst.

use std::ffi::{c_char, c_short, c_ulong};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;

/// Where every process gets its end.
const DEVICE: &str = "/dev/net/tun";
const TUNSETIFF: c_ulong = 0x4004_54ca;
const TUNSETPERSIST: c_ulong = 0x4004_54cb;
const TUNSETOWNER: c_ulong = 0x4004_54cc;
const TUNSETGROUP: c_ulong = 0x4004_54ce;
const TUNSETIFINDEX: c_ulong = 0x4004_54da;
const IFF_TAP: c_short = 0x0002;
const IFF_MULTI_QUEUE: c_short = 0x0100;
const IFF_NO_PI: c_short = 0x1000;

/// The part of the kernel's `struct ifreq` that TUNSETIFF reads, padded to its full 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [c_char; libc::IFNAMSIZ],
    flags: c_short,
    padding: [u8; 22],
}

/// What a new device is told, or which one a process attaches to.
#[derive(Clone, Copy, Debug, Default)]
pub struct TapPlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index, where it is new; `None` lets the kernel choose.
    pub index: Option<u32>,
    /// Several processes or threads may attach.
    pub has_queues: bool,
}

/// One end of a TAP device: each read is a frame that the link sent, each write one that it receives.
#[derive(Debug)]
pub struct Tap(File);

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {cause}")]
pub struct TapError {
    /// What was tried.
    pub what: String,
    /// The reason.
    pub cause: io::Error,
}

impl Tap {
    /// Whether the kernel and this process' view of it have the means.
    pub fn is_possible() -> bool {
        Path::new(DEVICE).exists()
    }

    /// Makes the device in the network namespace of this thread, or attaches to the one of that name.
    pub fn open(plan: &TapPlan<'_>) -> Result<Self, TapError> {
        let failed = |what: &str, cause: io::Error| TapError { what: format!("{what} {}", plan.name), cause };
        let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
        let file = opened.map_err(|cause| TapError { what: format!("open {DEVICE}"), cause })?;
        if let Some(index) = plan.index {
            set_number(&file, TUNSETIFINDEX, &index).map_err(|cause| failed("choose the index of", cause))?;
        }
        let mut request =
            InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: IFF_TAP | IFF_NO_PI, padding: [0; 22] };
        if plan.has_queues {
            request.flags |= IFF_MULTI_QUEUE;
        }
        if plan.name.len() >= libc::IFNAMSIZ {
            return Err(failed("make", Errno::ENAMETOOLONG.into()));
        }
        for (to, from) in request.name.iter_mut().zip(plan.name.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: `request` has the layout and size of the kernel's ifreq and outlives the call, which writes the name
        // back into it.
        let outcome = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        Errno::result(outcome).map_err(|errno| failed("make", errno.into()))?;
        Ok(Self(file))
    }

    /// Lets the device outlive this end, for a user and a group to attach to.
    pub fn keep(self, owner: Option<u32>, group: Option<u32>) -> Result<(), TapError> {
        for (request, value, what) in [
            (TUNSETOWNER, owner, "set the owner of a TAP device"),
            (TUNSETGROUP, group, "set the group of a TAP device"),
            (TUNSETPERSIST, Some(1), "keep a TAP device"),
        ] {
            if let Some(value) = value {
                set_value(&self.0, request, value)
                    .map_err(|cause| TapError { what: what.to_owned(), cause })?;
            }
        }
        Ok(())
    }

    /// The frames.
    pub fn frames(&self) -> &File {
        &self.0
    }
}

/// An ioctl whose argument is a number.
fn set_value(file: &File, request: c_ulong, value: u32) -> io::Result<()> {
    // SAFETY: these requests take their argument by value and touch no memory of ours.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), request, c_ulong::from(value)) };
    Ok(Errno::result(outcome).map(drop)?)
}

/// An ioctl whose argument points to a number.
fn set_number(file: &File, request: c_ulong, value: &u32) -> io::Result<()> {
    // SAFETY: the request reads four bytes, which `value` has for as long as the call lasts.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_ref(value)) };
    Ok(Errno::result(outcome).map(drop)?)
}
