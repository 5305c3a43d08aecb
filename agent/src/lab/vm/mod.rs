//! A virtual machine as a node: the test owns its kernel and its network cards, so it may use them in place.
//!
//! ```text
//!  guest, initial network namespace
//!  ┌──────────────────────────────────────────────────────────┐
//!  │ igb 0000:…  ═══ one cable ═══  igb 0000:…    7 VFs each   │
//!  │ virtio      ═══ another   ═══  virtio        native XDP   │
//!  └──────────────────────────────────────────────────────────┘
//! ```
//! `cargo xtask test vm` boots it. A test that needs nothing but another kernel uses the ordinary [`super::Host`] there.

mod machine;
mod sriov;
mod sysfs;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::ping::ping;
use super::skip::skipped;
use super::{LabError, NetNs};

pub use machine::Machine;
pub use sriov::{PhysicalFunction, VFS_MAX, VirtualFunction};

/// Says which kernel series the virtual machine runs, e.g. `6.12`; the runner sets it inside of one and nowhere else.
const SERIES_VARIABLE: &str = "PLEXUS_VM";

/// A card's link takes seconds to come up after its first use.
const LINK_LIMIT: Duration = Duration::from_mins(1);

/// The kernel series of the virtual machine that this is; `None` on a real machine.
pub fn series() -> Option<String> {
    std::env::var(SERIES_VARIABLE).ok()
}

/// True inside a virtual machine of the runner; else says that `test` is skipped.
#[must_use]
pub fn require_machine_or_skip(test: &str) -> bool {
    series().is_some()
        || skipped(test, "it uses network cards in place: run it in a virtual machine, `cargo xtask test vm`")
}

/// Sends single echo requests from `netns` until `target` answers one: cards report their link late.
pub fn wait_for_answer(netns: &NetNs, target: IpAddr) -> Result<(), LabError> {
    let started = Instant::now();
    loop {
        let echoes = ping(netns, target, 1);
        if echoes.as_ref().is_ok_and(|echoes| echoes.all_answered()) {
            return Ok(());
        }
        if started.elapsed() > LINK_LIMIT {
            return Err(LabError::TimedOut {
                what: format!("{target} did not answer"),
                limit_ms: LINK_LIMIT.as_millis(),
                detail: format!("the last request: {echoes:?}"),
            });
        }
        // An interface that is down refuses at once.
        thread::sleep(Duration::from_millis(100));
    }
}
