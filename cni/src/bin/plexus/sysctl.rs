//! Reading and writing sysctls of the container's network namespace on the agent's word.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Result, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use plexus_cni::limits::SYSCTL_VALUE_BYTES_MAX;
use plexus_cni::sysctl::{SysctlOutcome, SysctlRequest};

use crate::netns;

/// Works the request inside `netns`, the namespace of this call.
pub(crate) fn work(request: &SysctlRequest, netns: Option<BorrowedFd<'_>>) -> SysctlOutcome {
    let Some(netns) = netns else { return request.refuse("the call has no network namespace") };
    netns::within(netns, || request.work(read, write))
        .unwrap_or_else(|why| request.refuse(&format!("the network namespace cannot be entered: {why}")))
}

fn read(path: &str) -> Result<String> {
    let mut text = String::new();
    let file = File::open(Path::new("/proc/sys").join(path))?;
    file.take(SYSCTL_VALUE_BYTES_MAX as u64).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// In one write, as the kernel wants it.
fn write(path: &str, value: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(Path::new("/proc/sys").join(path))?;
    file.write_all(value.as_bytes())
}
