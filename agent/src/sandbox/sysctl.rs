//! Sysctls of a pod, for an agent that may enter its namespace.

use std::fs::{self, OpenOptions};
use std::io::{Result, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use plexus_cni::sysctl::{SysctlOutcome, SysctlRequest};

use super::{SandboxError, within};

/// Works the request inside the network namespace `netns`.
pub fn work_sysctls(
    netns: BorrowedFd<'_>,
    request: &SysctlRequest,
) -> std::result::Result<SysctlOutcome, SandboxError> {
    within(netns, || request.work(read, write))
}

fn read(path: &str) -> Result<String> {
    let mut text = fs::read_to_string(Path::new("/proc/sys").join(path))?;
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// In one write, as the kernel wants it.
fn write(path: &str, value: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(Path::new("/proc/sys").join(path))?;
    file.write_all(value.as_bytes())
}
