//! Reading the config from stdin: bounded in bytes and in time.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat, major, minor};

use plexus_cni::limits::CONFIG_BYTES_MAX;
use plexus_cni::{CniError, Code};

use crate::deadline::Deadline;

/// How long a runtime may take to hand over the config, in milliseconds.
const CONFIG_WAIT_MS: u64 = 10_000;
/// How long VERSION and error answers wait for a config that they can do without, in milliseconds.
const GLANCE_WAIT_MS: u64 = 250;

/// The whole config (C007, C008); one byte more than allowed at most, so that the parser sees that it is too long.
pub(crate) fn read() -> Result<Vec<u8>, CniError> {
    let fail = |why: String| {
        CniError::new(Code::Io, "cannot read the network config from stdin")
            .because(format!("{why}; the container runtime must write the config there and close it"))
    };
    if is_closed() {
        return Err(fail("it is closed".into()));
    }
    match read_until(Deadline::in_ms(CONFIG_WAIT_MS)) {
        Ok((bytes, true)) => Ok(bytes),
        Ok((bytes, false)) => {
            Err(fail(format!("no end after {CONFIG_WAIT_MS} ms and {} bytes", bytes.len())))
        }
        Err(error) => Err(fail(error.to_string())),
    }
}

/// What is there within a moment: for answers that are given with or without a config.
pub(crate) fn glance() -> Vec<u8> {
    if std::io::stdin().is_terminal() {
        return Vec::new();
    }
    read_until(Deadline::in_ms(GLANCE_WAIT_MS)).map(|(bytes, _)| bytes).unwrap_or_default()
}

/// Reads to the end, the limit or the deadline; whether it was one of the first two.
fn read_until(deadline: Deadline) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    while bytes.len() <= CONFIG_BYTES_MAX {
        let timeout = PollTimeout::try_from(deadline.left_ms()).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Ok((bytes, false)),
            Ok(_) => {}
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok((bytes, true)),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(CONFIG_BYTES_MAX + 1);
    Ok((bytes, true))
}

/// Whether stdin was closed when we were started.
///
/// Rust's runtime opens /dev/null for reading and writing in the place of a closed descriptor, so that is what such a
/// stdin looks like here; a runtime's own /dev/null is open for reading.
fn is_closed() -> bool {
    /// Device number of /dev/null: Linux, Documentation/admin-guide/devices.txt.
    const NULL: (u64, u64) = (1, 3);
    let stdin = std::io::stdin();
    let Ok(stat) = fstat(&stdin) else { return true };
    let is_device = SFlag::from_bits_truncate(stat.st_mode).contains(SFlag::S_IFCHR);
    let both_ways = fcntl(&stdin, FcntlArg::F_GETFL)
        .is_ok_and(|flags| OFlag::from_bits_truncate(flags).contains(OFlag::O_RDWR));
    is_device && (major(stat.st_rdev), minor(stat.st_rdev)) == NULL && both_ways
}
