//! What the kernel really has, for CHECK and for people.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    hook::{Hook, LinkName},
    load::Programs,
    pins::Pins,
    spec::{Guard, PolicerSpec},
    sys,
};

/// One program on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookState {
    /// The hook's name.
    pub name: &'static str,
    /// Whether a program runs there now.
    pub attached: bool,
    /// Whether it is the program of the running agent.
    pub ours: bool,
    /// How: `tcx`, `native` (XDP), or `none`.
    pub mode: &'static str,
    /// Why not, where something is missing.
    pub reason: Option<String>,
}

impl HookState {
    /// Reads a link's pin and what it is attached to.
    pub(super) fn read(programs: &Programs, pins: &Pins, name: LinkName, ifindex: u32) -> Self {
        let hook = name.hook();
        let mode = if hook == Hook::UplinkXdp { "native" } else { "tcx" };
        let missing = |reason: String| Self {
            name: hook.as_str(),
            attached: false,
            ours: false,
            mode: "none",
            reason: Some(reason),
        };
        let path = pins.link(name);
        if !path.exists() && !pins.old_links(name).is_empty() {
            return missing("an older agent's program runs there until the migration is finished".into());
        }
        let info = match sys::pinned_link_info(&path) {
            Ok(info) => info,
            Err(error) => return missing(format!("cannot read the pinned link {}: {error}", path.display())),
        };
        if info.ifindex != ifindex {
            return missing(format!("the link is attached to ifindex {}, not {ifindex}", info.ifindex));
        }
        let ours = programs.id(hook).is_ok_and(|id| id == info.program_id);
        let reason = (!ours).then(|| format!("program {} runs there, not this agent's", info.program_id));
        Self { name: hook.as_str(), attached: true, ours, mode, reason }
    }
}

/// A port as the maps and pins have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortState {
    /// The port's id.
    pub id: u32,
    /// Its device.
    pub ifindex: u32,
    /// `fastpath`, `host-tap` or `pod-tap`.
    pub kind: &'static str,
    /// The fastpath network's id.
    pub network: Option<u32>,
    /// VLAN in the network, 0 for untagged.
    pub vlan: u16,
    /// The pod's MAC address, with colons.
    pub mac: String,
    /// The pod's addresses.
    pub ips: Vec<IpAddr>,
    /// Anti-spoofing.
    pub guard: Guard,
    /// Limit to the pod.
    pub ingress: Option<PolicerSpec>,
    /// Limit from the pod.
    pub egress: Option<PolicerSpec>,
    /// Its programs.
    pub hooks: Vec<HookState>,
    /// What is wrong beyond the hooks: entries of the forwarding database that are missing.
    pub problems: Vec<String>,
    /// What people should know about the way frames take.
    pub notes: Vec<String>,
}

impl PortState {
    /// Whether everything is as it should be.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty() && self.hooks.iter().all(|hook| hook.attached && hook.ours)
    }
}

/// A network as the maps and pins have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkState {
    /// The network's id.
    pub id: u32,
    /// The device that leads out.
    pub uplink_ifindex: Option<u32>,
    /// The network's VLAN on the uplink, 0 for untagged.
    pub vlan: u16,
    /// The ports of the network on this node.
    pub ports: Vec<u32>,
    /// The uplink's programs; XDP may be missing, with the reason, and tcx then does its work.
    pub hooks: Vec<HookState>,
    /// What people should know about the way frames take.
    pub notes: Vec<String>,
}
