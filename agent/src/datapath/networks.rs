//! Adding, removing and reading fastpath networks and their uplinks.

use std::collections::BTreeSet;

use plexus_abi::{
    NETWORK_LEARNS, NETWORK_ROUTES, NETWORK_XDP_ALWAYS, NETWORK_XDP_NEVER, NO_DEVICE, NetworkConfig,
    UPLINK_LEARNS, UPLINK_ROUTES, UPLINK_XDP, UplinkEntry, UplinkKey,
};

use super::{
    Inner, device,
    error::{DatapathError, Result},
    hook::{Hook, LinkName},
    links::{self, Running},
    spec::{Mode, NetworkSpec, XdpChoice},
    state::{HookState, NetworkState},
    xdp_features::XdpFeatures,
};

impl Inner {
    pub(super) fn upsert_network(&mut self, spec: &NetworkSpec) -> Result<()> {
        spec.validate()?;
        let config = NetworkConfig {
            uplink_ifindex: spec.uplink_ifindex.unwrap_or(NO_DEVICE),
            vlan: spec.vlan,
            flags: flags(spec),
            outer_vlan: spec.forwarding.outer_vlan,
            reserved: 0,
            ageing_s: spec.forwarding.ageing_s(),
        };
        let old = self.maps.networks.get(&spec.id)?;
        if old.is_some_and(|old| (old.flags ^ config.flags) & NETWORK_ROUTES != 0)
            && !self.ports_of(spec.id)?.is_empty()
        {
            let reason = "its mode cannot change while it has ports; remove them first".into();
            return Err(DatapathError::Network { network: spec.id, reason });
        }
        if let Some(ifindex) = spec.uplink_ifindex {
            self.check_owner(spec.id, ifindex, (spec.vlan, config.outer_vlan))?;
            if let Err(error) = self.attach_uplink(ifindex, config.flags) {
                self.release_uplink(ifindex)?;
                return Err(error);
            }
        }
        self.maps.networks.set(&spec.id, &config)?;
        self.reconcile_uplinks(spec.id)?;
        if old.is_some_and(|old| (old.flags ^ config.flags) & NETWORK_LEARNS != 0) {
            self.forget_stations(|key, _| key.network == spec.id)?;
            self.ports_of(spec.id)?.into_iter().try_for_each(|id| self.gate_fastpath_port(id, spec.id))?;
        }
        match old {
            Some(old) if old.uplink_ifindex != config.uplink_ifindex => {
                self.release_uplink(old.uplink_ifindex)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn remove_network(&mut self, id: u32) -> Result<()> {
        let Some(config) = self.maps.networks.get(&id)? else { return Ok(()) };
        let ports = self.ports_of(id)?;
        if !ports.is_empty() {
            let reason = format!("ports {ports:?} are still in it; remove them first");
            return Err(DatapathError::Network { network: id, reason });
        }
        self.maps.networks.remove(&id)?;
        if config.flags & NETWORK_LEARNS != 0 {
            self.forget_stations(|key, _| key.network == id)?;
        }
        self.reconcile_uplinks(id)?;
        self.release_uplink(config.uplink_ifindex)
    }

    /// Makes the VLANs that lead to a network exactly those that it and its ports use.
    pub(super) fn reconcile_uplinks(&mut self, network: u32) -> Result<()> {
        let mut wanted = BTreeSet::new();
        let (mut uses_xdp, mut mode) = (false, 0);
        if let Some(config) =
            self.maps.networks.get(&network)?.filter(|config| config.uplink_ifindex != NO_DEVICE)
        {
            wanted.insert((config.uplink_ifindex, config.vlan, config.outer_vlan));
            mode = match config.flags & (NETWORK_LEARNS | NETWORK_ROUTES) {
                NETWORK_LEARNS => UPLINK_LEARNS,
                NETWORK_ROUTES => UPLINK_ROUTES,
                _ => 0,
            };
            uses_xdp = self.xdp_refusal(config.uplink_ifindex, config.flags).is_none();
            for key in self.maps.members.keys()? {
                if key.network == network {
                    wanted.insert((config.uplink_ifindex, key.vlan, config.outer_vlan));
                }
            }
        }
        for (key, entry) in self.maps.uplinks.entries()? {
            if entry.network == network && !wanted.contains(&(key.ifindex, key.vlan, key.outer_vlan)) {
                self.maps.uplinks.remove(&key)?;
            }
        }
        for (ifindex, vlan, outer_vlan) in wanted {
            // A device that takes tags out shows every VLAN as untagged to XDP: only tcx can tell them apart.
            let flags = if uses_xdp && (vlan != 0 || shows_untagged(ifindex)) { UPLINK_XDP } else { 0 };
            let entry = UplinkEntry { network, flags: flags | mode };
            self.maps.uplinks.set(&UplinkKey { ifindex, vlan, outer_vlan }, &entry)?;
        }
        Ok(())
    }

    /// Refuses a VLAN for a port of `network` if it leads to another network.
    pub(super) fn check_vlan(&self, network: u32, vlan: u16) -> Result<()> {
        match self.maps.networks.get(&network)? {
            Some(config) if config.uplink_ifindex != NO_DEVICE => {
                self.check_owner(network, config.uplink_ifindex, (vlan, config.outer_vlan))
            }
            _ => Ok(()),
        }
    }

    fn check_owner(&self, network: u32, ifindex: u32, (vlan, outer_vlan): (u16, u16)) -> Result<()> {
        match self.maps.uplinks.get(&UplinkKey { ifindex, vlan, outer_vlan })? {
            Some(entry) if entry.network != network => {
                let owner = entry.network;
                let inside = if outer_vlan == 0 { String::new() } else { format!(" in {outer_vlan}") };
                let reason = format!(
                    "VLAN {vlan}{inside} of ifindex {ifindex} belongs to network {owner}; use another VLAN"
                );
                Err(DatapathError::Network { network, reason })
            }
            _ => Ok(()),
        }
    }

    /// tc must work; XDP is faster where it fits, and its absence is remembered with the reason.
    fn attach_uplink(&mut self, ifindex: u32, flags: u16) -> Result<()> {
        let tc = LinkName { ifindex, hook: Hook::UplinkTc };
        self.ensure_uplink(tc, ifindex)?;
        if unwanted(ifindex, flags).is_some() {
            return Ok(());
        }
        match self.attach_xdp(ifindex) {
            Ok(()) => self.xdp_refusals.remove(&ifindex),
            Err(error) => self.xdp_refusals.insert(ifindex, error.to_string()),
        };
        Ok(())
    }

    fn attach_xdp(&mut self, ifindex: u32) -> Result<()> {
        let hook = Hook::UplinkXdp;
        if !XdpFeatures::of(ifindex)?.can_redirect() {
            let reason = "its driver cannot redirect in XDP".into();
            return Err(DatapathError::Attach { hook, ifindex, reason });
        }
        self.ensure_uplink(LinkName { ifindex, hook }, ifindex)
    }

    fn ensure_uplink(&mut self, name: LinkName, ifindex: u32) -> Result<()> {
        if name.hook == Hook::UplinkTc && !self.has_tcx {
            return self.gate_uplink(ifindex);
        }
        if links::ensure(&mut self.programs, &self.pins, name, ifindex)? == Running::Old {
            self.pending.insert(name);
        }
        Ok(())
    }

    /// Why XDP does not deliver for a network with these flags, if it does not.
    fn xdp_refusal(&self, ifindex: u32, flags: u16) -> Option<String> {
        unwanted(ifindex, flags).map(String::from).or_else(|| self.xdp_refusals.get(&ifindex).cloned())
    }

    /// Detaches the uplink's programs if no network uses it.
    fn release_uplink(&mut self, ifindex: u32) -> Result<()> {
        let used = self.maps.uplinks.keys()?.iter().any(|key| key.ifindex == ifindex);
        if used || ifindex == NO_DEVICE {
            return Ok(());
        }
        self.xdp_refusals.remove(&ifindex);
        for hook in Hook::UPLINK {
            self.pins.remove_link(LinkName { ifindex, hook })?;
        }
        if self.has_tcx { Ok(()) } else { self.ungate_uplink(ifindex) }
    }

    pub(super) fn release_unused_uplinks(&mut self) -> Result<()> {
        self.pins.links()?.into_iter().try_for_each(|name| self.release_uplink(name.ifindex))?;
        self.gated_uplinks()?.into_iter().try_for_each(|ifindex| self.release_uplink(ifindex))
    }

    pub(super) fn networks(&self) -> Result<Vec<NetworkState>> {
        let mut networks = Vec::new();
        for (id, config) in self.maps.networks.entries()? {
            networks.push(self.network_state(id, config)?);
        }
        networks.sort_by_key(|network| network.id);
        Ok(networks)
    }

    fn network_state(&self, id: u32, config: NetworkConfig) -> Result<NetworkState> {
        let uplink = Some(config.uplink_ifindex).filter(|ifindex| *ifindex != NO_DEVICE);
        let (mut hooks, mut notes) = (Vec::new(), Vec::new());
        if let Some(ifindex) = uplink {
            for hook in [Hook::UplinkXdp, Hook::UplinkTc] {
                let name = LinkName { ifindex, hook };
                let mut state = match hook {
                    Hook::UplinkTc if !self.has_tcx => self.uplink_gate_state(ifindex),
                    _ => HookState::of_uplink(&self.programs, &self.pins, name),
                };
                if hook == Hook::UplinkXdp
                    && let Some(refusal) = self.xdp_refusal(ifindex, config.flags)
                {
                    state.reason = Some(format!("{refusal}; tc does its work"));
                }
                hooks.push(state);
            }
            if config.vlan == 0 && !shows_untagged(ifindex) {
                notes.push(format!(
                    "untagged frames go by tc: ifindex {ifindex} takes VLAN tags out of frames, so XDP cannot tell \
                     them apart; `ethtool -K DEVICE rxvlan off` makes them go by XDP"
                ));
            }
        }
        let ports = self.ports_of(id)?;
        let learns = config.flags & NETWORK_LEARNS != 0;
        let stations = if learns { Some(self.count_stations(id)?) } else { None };
        let (vlan, outer_vlan) = (config.vlan, config.outer_vlan);
        let mode = if config.flags & NETWORK_ROUTES == 0 { Mode::L2 } else { Mode::L3 }.as_str();
        Ok(NetworkState { id, mode, uplink_ifindex: uplink, vlan, outer_vlan, ports, stations, hooks, notes })
    }

    /// Every port of a network, in all its VLANs.
    pub(super) fn ports_of(&self, network: u32) -> Result<Vec<u32>> {
        let mut ports = Vec::new();
        for key in self.maps.members.keys()? {
            if key.network == network {
                ports.extend(self.members(network, key.vlan)?);
            }
        }
        ports.sort_unstable();
        Ok(ports)
    }
}

impl NetworkSpec {
    /// Whether XDP on the uplink delivers to pods of the network, where their devices can take it.
    pub fn delivers_by_xdp(&self) -> bool {
        self.uplink_ifindex.is_some_and(|ifindex| {
            unwanted(ifindex, flags(self)).is_none()
                && XdpFeatures::of(ifindex).is_ok_and(XdpFeatures::can_redirect)
        })
    }
}

/// The network's flags as the programs read them.
const fn flags(spec: &NetworkSpec) -> u16 {
    let xdp = match spec.xdp {
        XdpChoice::Auto => 0,
        XdpChoice::Always => NETWORK_XDP_ALWAYS,
        XdpChoice::Never => NETWORK_XDP_NEVER,
    };
    let mode = match spec.forwarding.mode {
        Mode::L3 => NETWORK_ROUTES,
        Mode::L2 if spec.forwarding.learning => NETWORK_LEARNS,
        Mode::L2 => 0,
    };
    xdp | mode
}

/// Whether an untagged frame in XDP is certainly untagged. Unknown counts as no: then tcx takes it.
fn shows_untagged(ifindex: u32) -> bool {
    matches!(device::strips_vlan_tags(ifindex), Ok(false))
}

/// Why the network does without XDP on this device by choice.
fn unwanted(ifindex: u32, flags: u16) -> Option<&'static str> {
    if flags & NETWORK_XDP_NEVER != 0 {
        Some("the network's configuration says never")
    } else if flags & NETWORK_LEARNS != 0 {
        Some("the network learns stations, which only tc can")
    } else if flags & NETWORK_ROUTES != 0 {
        Some("the network forwards by address, which tc does")
    } else if flags & NETWORK_XDP_ALWAYS == 0 && device::is_veth(ifindex) {
        Some("the uplink is a veth, and XDP would break packets whose sender left out the checksum")
    } else {
        None
    }
}
