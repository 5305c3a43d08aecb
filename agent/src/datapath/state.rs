//! What the kernel really has, for CHECK and for people.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    filter::Filters,
    hook::{Hook, LinkName},
    load::Programs,
    pins::Pins,
    spec::{Guard, PolicerSpec},
    sys,
    xdp_features::XdpFeatures,
};

/// One program on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookState {
    /// The hook's name.
    pub name: &'static str,
    /// Whether a program runs there now; nothing if that cannot be seen from here (a device in a pod).
    pub attached: Option<bool>,
    /// Whether it leads to the program of the running agent.
    pub ours: bool,
    /// How: `tc`, `tcx`, `netkit`, `native` (XDP on frames of one buffer), `native-frags` (XDP, jumbo frames too), or `none`.
    pub mode: &'static str,
    /// Why, where something is missing.
    pub reason: Option<String>,
}

impl HookState {
    /// Whether nothing is known to be wrong.
    pub fn is_healthy(&self) -> bool {
        self.ours && self.attached != Some(false)
    }

    /// Why the gates of a hook do not lead to this agent's program, if they do not.
    pub(super) fn stranger(programs: &Programs, hook: Hook) -> Option<String> {
        match programs.is_published(hook) {
            Ok(true) => None,
            Ok(false) => {
                Some("the gates lead to an older agent's programs until the migration is finished".into())
            }
            Err(error) => Some(error.to_string()),
        }
    }

    pub(super) fn missing(hook: Hook, reason: String) -> Self {
        Self { name: hook.as_str(), attached: Some(false), ours: false, mode: "none", reason: Some(reason) }
    }

    /// Reads an uplink's pinned link and what it is attached to.
    pub(super) fn of_uplink(programs: &Programs, pins: &Pins, name: LinkName) -> Self {
        let hook = name.hook;
        let mode = match hook {
            Hook::UplinkXdp if XdpFeatures::of(name.ifindex).is_ok_and(XdpFeatures::has_jumbo_frames) => {
                "native-frags"
            }
            Hook::UplinkXdp => "native",
            _ => "tcx",
        };
        let path = pins.link(name);
        if !path.exists() && !pins.old_links(name).is_empty() {
            let reason = "an older agent's program runs there until the migration is finished".into();
            return Self {
                name: hook.as_str(),
                attached: Some(true),
                ours: false,
                mode,
                reason: Some(reason),
            };
        }
        let info = match sys::pinned_link_info(&path) {
            Ok(info) => info,
            Err(error) => {
                return Self::missing(
                    hook,
                    format!("cannot read the pinned link {}: {error}", path.display()),
                );
            }
        };
        if info.ifindex != name.ifindex {
            return Self::missing(hook, format!("the link is attached to ifindex {}", info.ifindex));
        }
        let ours = programs.info(hook.program()).is_ok_and(|own| own.id() == info.program_id);
        let reason = (!ours).then(|| format!("program {} runs there, not this agent's", info.program_id));
        Self { name: hook.as_str(), attached: Some(true), ours, mode, reason }
    }

    /// Reads the filter on a device, if there are eyes for it, and where its gate leads.
    pub(super) fn of_gate(programs: &Programs, filters: Option<&Filters>, hook: Hook, ifindex: u32) -> Self {
        let Some((gate, place)) = hook.gate().and_then(|gate| Some((gate, gate.place?))) else {
            return Self::missing(hook, "it has no filter".into());
        };
        let ours = Self::stranger(programs, hook);
        let Some(filters) = filters else {
            let reason = ours.clone().or_else(|| Some("the device is in the pod; not looked at".into()));
            return Self { name: hook.as_str(), attached: None, ours: ours.is_none(), mode: "tc", reason };
        };
        let tag = match filters.tag(ifindex, place) {
            Ok(tag) => tag,
            Err(error) => {
                return Self::missing(hook, format!("no filter of ours on ifindex {ifindex}: {error}"));
            }
        };
        if !programs.info(gate.program).is_ok_and(|own| own.tag() == tag) {
            return Self::missing(
                hook,
                format!("another program than {} is on ifindex {ifindex}", gate.program),
            );
        }
        Self { name: hook.as_str(), attached: Some(true), ours: ours.is_none(), mode: "tc", reason: ours }
    }
}

/// A port as the maps and pins have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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
        self.problems.is_empty() && self.hooks.iter().all(HookState::is_healthy)
    }
}

/// A network as the maps and pins have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkState {
    /// The network's id.
    pub id: u32,
    /// `l2` or `l3`: what it forwards by.
    pub mode: &'static str,
    /// The device that leads out.
    pub uplink_ifindex: Option<u32>,
    /// The network's VLAN on the uplink, 0 for untagged.
    pub vlan: u16,
    /// The service VLAN (802.1ad) around it, 0 for none.
    pub outer_vlan: u16,
    /// How many stations are learnt; nothing on a network that does not learn.
    pub stations: Option<usize>,
    /// The ports of the network on this node.
    pub ports: Vec<u32>,
    /// The uplink's programs; XDP may be missing, with the reason, and tcx then does its work.
    pub hooks: Vec<HookState>,
    /// What people should know about the way frames take.
    pub notes: Vec<String>,
}
