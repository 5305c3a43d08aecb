//! The data plane's side of an attachment: a port made, compared, removed.

use std::os::fd::BorrowedFd;

use plexus_cni::{CniError, Code};

use super::PluginCall;
use crate::datapath::{Datapath, Guard, PolicerSpec, PortKind as DatapathKind, PortSpec};
use crate::record::{PortKind, PortRecord, Rate};

impl PluginCall<'_> {
    /// Puts the port's programs, counters and limits in place.
    pub(super) fn add_port(&self, port: &PortRecord) -> Result<(), CniError> {
        let is_inside = port.kind == PortKind::PodTap;
        let socket = if is_inside { Some(self.sandbox()?.control()) } else { None };
        self.agent.datapath.add_port(&port.spec(socket))?;
        port.shape(&self.agent.datapath)
    }

    /// Compares the port's programs with what was put in place (C091).
    pub(super) fn check_port(&self) -> Result<(), CniError> {
        let Some(id) = self.port_id else { return Ok(()) };
        let is_inside = self.port.is_some_and(|port| port.kind == PortKind::PodTap);
        let state = match self.sandbox.filter(|_| is_inside) {
            Some(sandbox) => self.agent.datapath.port_state_in(id, sandbox.control())?,
            None => self.agent.datapath.port_state(id)?,
        };
        match state.hooks.iter().find(|hook| !hook.is_healthy()) {
            None if !state.hooks.is_empty() => Ok(()),
            None => Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} has no port in the data plane", self.ifname),
            )
            .because("its programs were removed; restart the pod")),
            Some(hook) => Err(CniError::new(
                Code::CheckFailed,
                format!("hook {} of interface {} does not run our program", hook.name, self.ifname),
            )
            .because("it was detached or replaced from outside; restart the pod")),
        }
    }

    /// Removes the port; one that is gone is a success.
    pub(super) fn remove_port(&self) -> Result<(), CniError> {
        self.port_id.map_or(Ok(()), |id| self.agent.datapath.remove_port(id).map_err(Into::into))
    }
}

impl PortRecord {
    /// The port as the data plane takes it; `socket` is one inside the pod, needed where its programs sit there.
    pub fn spec<'a>(&self, socket: Option<BorrowedFd<'a>>) -> PortSpec<'a> {
        PortSpec {
            id: self.id,
            kind: match self.kind {
                PortKind::Fastpath { network_id, vlan, .. } => {
                    DatapathKind::Fastpath { network: network_id, vlan }
                }
                PortKind::HostTap => DatapathKind::HostTap,
                PortKind::PodTap => DatapathKind::PodTap,
            },
            ifindex: self.ifindex,
            mac: self.mac,
            ips: self.ips.clone(),
            guard: Guard { mac: self.guard_mac, ip: self.guard_ip },
            ingress: self.ingress.map(Into::into),
            egress: self.egress_policer().map(Into::into),
            socket,
        }
    }

    /// Tells the data plane whether what the pod sends waits, and where.
    pub fn shape(&self, datapath: &Datapath) -> Result<(), CniError> {
        let before = self.egress.filter(|_| self.is_shaped_before());
        datapath.set_shaped(self.id, self.is_shaped() && !self.is_shaped_before())?;
        datapath.set_shaper(self.id, before.map(Into::into)).map_err(Into::into)
    }
}

impl From<Rate> for PolicerSpec {
    fn from(rate: Rate) -> Self {
        Self { rate_bps: rate.rate_bps, burst_bits: rate.burst_bits }
    }
}
