//! Adding, removing and reading ports.

use plexus_abi::{
    Counters, Direction, FdbEntry, FdbKey, MAX_MEMBERS, Members, MembersKey, PORT_GUARD_IP, PORT_GUARD_MAC,
    PORT_PRESENT, PortConfig, port_ifindex,
};

use super::{
    Inner,
    counters::PortCounters,
    error::{DatapathError, Result},
    hook::{Hook, LinkName},
    links::{self, Running},
    policer,
    spec::{Guard, PolicerSpec, PortKind, PortSpec},
    state::{HookState, PortState},
    xdp_features::XdpFeatures,
};
use crate::sandbox;

impl Inner {
    pub(super) fn add_port(&mut self, spec: &PortSpec<'_>) -> Result<()> {
        let config = spec.to_config(self.max_ports)?;
        let existing = self.maps.ports.get(spec.id)?;
        let is_new = !existing.has(PORT_PRESENT);
        if !is_new && existing != config {
            let reason = "it exists with another specification; remove it first".into();
            return Err(DatapathError::Port { port: spec.id, reason });
        }
        self.check_membership(spec, &config)?;
        let ingress = policer::to_config(spec.id, spec.ingress)?;
        let egress = policer::to_config(spec.id, spec.egress)?;
        if is_new {
            self.maps.counters.reset(spec.id, Counters::ZERO)?;
        }
        let added = self.apply_port(spec, &config, [ingress, egress]);
        match added {
            Err(error) if is_new => Err(match self.remove_port(spec.id) {
                Ok(()) => error,
                Err(undo) => DatapathError::Undo { error: error.into(), undo: undo.into() },
            }),
            added => added,
        }
    }

    fn apply_port(
        &mut self,
        spec: &PortSpec<'_>,
        config: &PortConfig,
        [ingress, egress]: [plexus_abi::PolicerConfig; 2],
    ) -> Result<()> {
        policer::install(&mut self.maps, spec.id, Direction::ToPod, ingress)?;
        policer::install(&mut self.maps, spec.id, Direction::FromPod, egress)?;
        self.maps.ports.set(spec.id, *config)?;
        self.attach_port(spec)?;
        if let PortKind::Fastpath { network, vlan } = spec.kind {
            self.open_to_xdp(spec.id, spec.ifindex)?;
            self.maps.fdb.set(&FdbKey { network, vlan, mac: spec.mac }, &FdbEntry { port: spec.id })?;
            self.join(spec.id, network, vlan)?;
            self.reconcile_uplinks(network)?;
        }
        Ok(())
    }

    /// Refuses what would steal another port's MAC or VLAN, before anything is touched.
    fn check_membership(&self, spec: &PortSpec<'_>, config: &PortConfig) -> Result<()> {
        let PortKind::Fastpath { network, vlan } = spec.kind else { return Ok(()) };
        let refuse = |reason: String| Err(DatapathError::Port { port: spec.id, reason });
        if self.maps.networks.get(&network)?.is_none() {
            return refuse(format!("network {network} does not exist here; add the network first"));
        }
        match self.maps.fdb.get(&FdbKey { network, vlan, mac: config.mac })? {
            Some(entry) if entry.port != spec.id => {
                return refuse(format!(
                    "port {} of network {network} has the same MAC; use another",
                    entry.port
                ));
            }
            _ => {}
        }
        self.check_vlan(network, vlan)?;
        let members = self.members(network, vlan)?;
        let is_member = members.contains(&spec.id);
        if !is_member && members.len() >= MAX_MEMBERS {
            return refuse(format!(
                "network {network} has {MAX_MEMBERS} ports on this node already; use another node"
            ));
        }
        Ok(())
    }

    fn attach_port(&mut self, spec: &PortSpec<'_>) -> Result<()> {
        let attach = |inner: &mut Self| {
            for hook in spec.kind.hooks() {
                let name = LinkName::Port { id: spec.id, hook: *hook };
                if links::ensure(&mut inner.programs, &inner.pins, name, spec.ifindex)? == Running::Old {
                    inner.pending.insert(name);
                }
            }
            Ok(())
        };
        match (spec.kind, spec.netns) {
            (PortKind::PodTap, Some(netns)) => sandbox::within(netns, || attach(self))?,
            _ => attach(self),
        }
    }

    /// Lets XDP on the uplink send to the port if its device can take it; otherwise tcx does, and nothing is lost.
    fn open_to_xdp(&mut self, id: u32, ifindex: u32) -> Result<()> {
        if XdpFeatures::of(ifindex)?.can_receive() {
            self.maps.devices.set(id, ifindex)
        } else {
            self.maps.devices.remove(id)
        }
    }

    pub(super) fn remove_port(&mut self, id: u32) -> Result<()> {
        let mut first_error = Ok(());
        let mut keep = |result: Result<()>| {
            if first_error.is_ok() {
                first_error = result;
            }
        };
        if id < self.max_ports {
            let config = self.maps.ports.get(id)?;
            if let Some(PortKind::Fastpath { network, vlan }) = PortKind::of(&config) {
                // Unreachable first, so that nobody sends to a port that is half gone.
                let key = FdbKey { network, vlan, mac: config.mac };
                if self.maps.fdb.get(&key)?.is_some_and(|entry| entry.port == id) {
                    keep(self.maps.fdb.remove(&key));
                }
                keep(self.leave(id, network, vlan));
                keep(self.reconcile_uplinks(network));
            }
            keep(self.maps.devices.remove(id));
        }
        for hook in Hook::ALL {
            keep(self.pins.remove_link(LinkName::Port { id, hook }));
        }
        if id < self.max_ports {
            keep(self.maps.ports.set(id, PortConfig::ZERO));
            keep(policer::clear(&mut self.maps, id, Direction::ToPod));
            keep(policer::clear(&mut self.maps, id, Direction::FromPod));
            keep(self.maps.counters.reset(id, Counters::ZERO));
        }
        first_error
    }

    pub(super) fn set_policers(
        &mut self,
        id: u32,
        ingress: Option<PolicerSpec>,
        egress: Option<PolicerSpec>,
    ) -> Result<()> {
        self.present(id)?;
        let (ingress, egress) = (policer::to_config(id, ingress)?, policer::to_config(id, egress)?);
        policer::install(&mut self.maps, id, Direction::ToPod, ingress)?;
        policer::install(&mut self.maps, id, Direction::FromPod, egress)
    }

    pub(super) fn counters(&self, id: u32) -> Result<PortCounters> {
        self.present(id)?;
        self.maps.counters.sum(id).map(PortCounters::from)
    }

    /// Ports that the maps hold or that have a link pinned.
    pub(super) fn ports(&self) -> Result<Vec<u32>> {
        let mut ids = std::collections::BTreeSet::new();
        for id in 0..self.max_ports {
            if self.maps.ports.get(id)?.has(PORT_PRESENT) {
                ids.insert(id);
            }
        }
        ids.extend(self.pins.links()?.into_iter().filter_map(|name| match name {
            LinkName::Port { id, .. } => Some(id),
            LinkName::Uplink { .. } => None,
        }));
        Ok(ids.into_iter().collect())
    }

    pub(super) fn port_state(&self, id: u32) -> Result<PortState> {
        let config = self.present(id)?;
        let ifindex = port_ifindex(id);
        let kind = PortKind::of(&config).ok_or_else(|| DatapathError::Port {
            port: id,
            reason: format!("its kind {} is unknown; remove the port and add it again", config.kind),
        })?;
        let hook = |hook: &Hook| {
            HookState::read(&self.programs, &self.pins, LinkName::Port { id, hook: *hook }, ifindex)
        };
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        if let PortKind::Fastpath { network, vlan } = kind {
            let owner = self.maps.fdb.get(&FdbKey { network, vlan, mac: config.mac })?;
            if owner.is_none_or(|entry| entry.port != id) {
                problems
                    .push(format!("the forwarding database of network {network} does not lead to the port"));
            }
            if !self.members(network, vlan)?.contains(&id) {
                problems.push(format!("the port gets no broadcasts of network {network}"));
            }
            if !self.maps.devices.holds(id, ifindex)? {
                notes.push("frames from the uplink come by tcx, not by XDP: GRO was off in the pod".into());
            }
        }
        Ok(PortState {
            id,
            ifindex,
            kind: kind.as_str(),
            network: matches!(kind, PortKind::Fastpath { .. }).then_some(config.network),
            vlan: config.vlan,
            mac: config.mac.map(|byte| format!("{byte:02x}")).join(":"),
            ips: config.addresses.iter().take(config.address_count as usize).map(|ip| ip.to_ip()).collect(),
            guard: Guard { mac: config.has(PORT_GUARD_MAC), ip: config.has(PORT_GUARD_IP) },
            ingress: policer::read(&self.maps, id, Direction::ToPod)?,
            egress: policer::read(&self.maps, id, Direction::FromPod)?,
            hooks: kind.hooks().iter().map(hook).collect(),
            problems,
            notes,
        })
    }

    /// The port's configuration, or an error if it has none.
    fn present(&self, id: u32) -> Result<PortConfig> {
        let unknown = || DatapathError::Port { port: id, reason: "it does not exist; add it first".into() };
        if id >= self.max_ports {
            return Err(unknown());
        }
        Some(self.maps.ports.get(id)?).filter(|config| config.has(PORT_PRESENT)).ok_or_else(unknown)
    }

    /// The ports of a broadcast domain.
    pub(super) fn members(&self, network: u32, vlan: u16) -> Result<Vec<u32>> {
        let members = self.maps.members.get(&MembersKey { network, vlan, reserved: 0 })?;
        Ok(members.map_or_else(Vec::new, |members| {
            members.ports.iter().take(members.count as usize).copied().collect()
        }))
    }

    fn join(&mut self, id: u32, network: u32, vlan: u16) -> Result<()> {
        let mut ports = self.members(network, vlan)?;
        if ports.contains(&id) {
            return Ok(());
        }
        ports.push(id);
        self.set_members(network, vlan, &ports)
    }

    fn leave(&mut self, id: u32, network: u32, vlan: u16) -> Result<()> {
        let mut ports = self.members(network, vlan)?;
        ports.retain(|member| *member != id);
        self.set_members(network, vlan, &ports)
    }

    fn set_members(&mut self, network: u32, vlan: u16, ports: &[u32]) -> Result<()> {
        let key = MembersKey { network, vlan, reserved: 0 };
        if ports.is_empty() {
            return self.maps.members.remove(&key);
        }
        let mut members = Members::ZERO;
        for (slot, port) in members.ports.iter_mut().zip(ports) {
            *slot = *port;
            members.count += 1;
        }
        self.maps.members.set(&key, &members)
    }
}
