//! The gates of fastpath ports in netkit pairs.
//!
//! A program in a netkit pair runs while the pod sends (`netkit_xmit`, drivers/net/netkit.c), on the device of the host's end
//! and in the host's network namespace: a frame for an uplink goes there without the detour through the backlog of a CPU
//! that a veth takes. It is attached from the host's end; the pod can neither see nor remove it. Only a link can be replaced
//! without a descriptor of the program before, and a link lives by its pin. Pins belong to no generation, as gates do not.
//!
//! Attaching and detaching wait for an RCU grace period under the RTNL lock, which a filter does not; replacing does not wait.
//! So a removed port keeps its link until the pair is gone, which ends the link at once: the program finds no port.

use std::{io, os::fd::AsFd as _};

use plexus_abi::{PORT_PRESENT, port_id};

use super::{
    Inner,
    error::{DatapathError, Result},
    hook::Hook,
    state::HookState,
    sys,
};
use crate::fault;

/// The hooks of a port whose device is a netkit pair, for those that it would have on a veth.
pub(super) fn instead_of(hooks: &'static [Hook]) -> &'static [Hook] {
    match hooks {
        [Hook::Port] => &[Hook::Netkit],
        [Hook::LearningPort] => &[Hook::LearningNetkit],
        _ => hooks,
    }
}

impl Inner {
    /// Makes sure that this load's gate is in the pair of the device; one that is there is replaced without losing a packet.
    pub(super) fn link_netkit(&self, hook: Hook, gate: &'static str, ifindex: u32) -> Result<()> {
        let program = self.programs.fd(gate)?.as_fd();
        let path = self.pins.netkit(ifindex);
        let failed = |error: io::Error| DatapathError::Attach { hook, ifindex, reason: error.to_string() };
        match sys::update_pinned_link(&path, program) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The pin of a device that is gone, whose index this one has now.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => self.pins.remove_netkit(ifindex)?,
            Err(error) => return Err(failed(error)),
        }
        let link = sys::link_netkit_peer(program, ifindex).map_err(failed)?;
        sys::pin(link.as_fd(), &path).map_err(|source| DatapathError::Pin {
            action: "create",
            path,
            source,
        })?;
        fault::point();
        Ok(())
    }

    /// What stands in the pair of the device.
    pub(super) fn netkit_state(&self, hook: Hook, ifindex: u32) -> HookState {
        let path = self.pins.netkit(ifindex);
        let missing = |reason: String| HookState::missing(hook, reason);
        let Some(gate) = hook.gate() else { return missing("it has no gate".into()) };
        let info = match sys::pinned_link_info(&path) {
            Ok(info) => info,
            Err(error) => return missing(format!("cannot read the pinned link {}: {error}", path.display())),
        };
        // The link tells the index of the pod's end, as the pod counts; only that there is one says something here.
        if info.ifindex == 0 {
            return missing("the pair that the link was attached to is gone".into());
        }
        if !self.programs.info(gate.program).is_ok_and(|own| own.id() == info.program_id) {
            return missing(format!(
                "another program than {} is in the pair of ifindex {ifindex}",
                gate.program
            ));
        }
        let reason = HookState::stranger(&self.programs, hook);
        HookState {
            name: hook.as_str(),
            attached: Some(true),
            ours: reason.is_none(),
            mode: "netkit",
            reason,
        }
    }

    /// Removes the pins of ports that are not there: a process that died left them.
    pub(super) fn release_unused_netkits(&self) -> Result<()> {
        for ifindex in self.pins.netkits()? {
            let id = port_id(ifindex);
            if id >= self.max_ports || !self.maps.ports.get(id)?.has(PORT_PRESENT) {
                self.pins.remove_netkit(ifindex)?;
            }
        }
        Ok(())
    }
}
