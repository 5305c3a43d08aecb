//! Uplinks on kernels before 6.6, which have no tcx: a gate as on ports, among whatever filters the host has there.
//!
//! Nothing is pinned: the gate leads wherever `PROGRAMS` does, so restart and migration need not touch it.

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::net::if_::if_nameindex;

use super::{
    Inner,
    error::{DatapathError, Result},
    filter::Place,
    hook::Hook,
    state::HookState,
};

/// The program on the device.
const GATE: &str = "uplink_gate";

impl Inner {
    /// Puts the gate on an uplink; idempotent.
    pub(super) fn gate_uplink(&self, ifindex: u32) -> Result<()> {
        let program = self.programs.fd(GATE)?.as_fd().as_raw_fd();
        let hook = Hook::UplinkTc;
        self.filters
            .prepare(ifindex)
            .and_then(|()| self.filters.set(ifindex, Place::OF_UPLINK, hook.as_str(), program))
            .map_err(|error| DatapathError::Attach { hook, ifindex, reason: error.to_string() })
    }

    /// Takes the gate away; the queueing discipline stays, since others may use it.
    pub(super) fn ungate_uplink(&self, ifindex: u32) -> Result<()> {
        self.filters.remove(ifindex, Place::OF_UPLINK).map_err(|source| DatapathError::Device {
            action: "remove the filter",
            ifindex,
            source,
        })
    }

    /// The host's devices that have our gate.
    pub(super) fn gated_uplinks(&self) -> Result<Vec<u32>> {
        if self.has_tcx {
            return Ok(Vec::new());
        }
        let own = self.programs.info(GATE)?.tag();
        let devices = if_nameindex().map_err(|errno| DatapathError::Socket { source: errno.into() })?;
        Ok(devices
            .iter()
            .map(nix::net::if_::Interface::index)
            .filter(|ifindex| self.filters.tag(*ifindex, Place::OF_UPLINK).is_ok_and(|tag| tag == own))
            .collect())
    }

    /// What stands on the uplink.
    pub(super) fn uplink_gate_state(&self, ifindex: u32) -> HookState {
        let mut state = HookState::of_gate(&self.programs, Some(&self.filters), Hook::UplinkTc, ifindex);
        if state.reason.is_none() {
            state.reason = Some("the kernel has no tcx (Linux 6.6)".into());
        }
        state
    }
}
