//! Adding, removing and reading ports.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use plexus_abi::{
    Counters, Direction, FdbKey, MAX_MEMBERS, PORT_CAPTURED, PORT_GUARD_IP, PORT_GUARD_MAC, PORT_PRESENT,
    PORT_SHAPED, PolicerConfig, PortConfig, RoutePort, port_ifindex,
};

use super::{
    Inner, capture,
    counters::PortCounters,
    device,
    error::{DatapathError, Result},
    filter::Filters,
    hook::Hook,
    netkit, policer,
    spec::{self, Guard, PolicerSpec, PortKind, PortSpec},
    state::{HookState, PortState},
    xdp_features::XdpFeatures,
};

impl Inner {
    pub(super) fn add_port(&mut self, spec: &PortSpec<'_>) -> Result<()> {
        if spec.kind == PortKind::PodTap && spec.socket.is_none() {
            let reason = "a device inside a pod needs the pod's network namespace".into();
            return Err(DatapathError::Port { port: spec.id, reason });
        }
        self.restore_port(spec)
    }

    pub(super) fn restore_port(&mut self, spec: &PortSpec<'_>) -> Result<()> {
        let mut config = spec.to_config(self.max_ports)?;
        let existing = self.maps.ports.get(spec.id)?;
        // Who looks at a port is not part of its specification, and shaping is switched for itself.
        config.flags |= existing.flags & (PORT_CAPTURED | PORT_SHAPED);
        let is_new = !existing.has(PORT_PRESENT);
        if !is_new && existing != config {
            let reason = "it exists with another specification; remove it first".into();
            return Err(DatapathError::Port { port: spec.id, reason });
        }
        self.check_membership(spec, &config)?;
        let ingress = policer::to_config(spec.id, spec.ingress)?;
        let egress = policer::to_config(spec.id, spec.egress)?;
        if is_new {
            self.maps.counters.reset(spec.id, &Counters::ZERO)?;
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
        [ingress, egress]: [PolicerConfig; 2],
    ) -> Result<()> {
        policer::install(&mut self.maps, spec.id, Direction::ToPod, ingress)?;
        policer::install(&mut self.maps, spec.id, Direction::FromPod, egress)?;
        self.maps.ports.set(spec.id, *config)?;
        self.attach_port(spec)?;
        if let PortKind::Fastpath { network, vlan } = spec.kind {
            self.open_to_xdp(spec.id, spec.ifindex)?;
            self.maps
                .fdb
                .set(&FdbKey { network, vlan, mac: spec.mac }, &capture::fdb_entry(spec.id, config))?;
            self.join(spec.id, network, vlan)?;
            self.publish_hosts(spec.id, config)?;
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
        self.check_hosts(spec.id, config)?;
        let members = self.members(network, vlan)?;
        let is_member = members.contains(&spec.id);
        if !is_member && members.len() >= MAX_MEMBERS {
            return refuse(format!(
                "network {network} has {MAX_MEMBERS} ports on this node already; use another node"
            ));
        }
        Ok(())
    }

    /// Puts the gates on the port's device; whatever stood there is replaced without losing a packet.
    fn attach_port(&self, spec: &PortSpec<'_>) -> Result<()> {
        let in_pod;
        let filters = match (spec.kind, spec.socket) {
            (PortKind::PodTap, Some(socket)) => {
                in_pod = filters_over(socket)?;
                &in_pod
            }
            // Restored after a restart: its gates stand, and lead to whatever is published.
            (PortKind::PodTap, None) => return Ok(()),
            _ => &self.filters,
        };
        self.gate(filters, spec.ifindex, self.hooks(spec.kind, spec.ifindex)?)
    }

    /// Puts the gate that the network asks for on a fastpath port's device.
    pub(super) fn gate_fastpath_port(&self, id: u32, network: u32) -> Result<()> {
        let ifindex = port_ifindex(id);
        let hooks = self.hooks(PortKind::Fastpath { network, vlan: 0 }, ifindex)?;
        self.gate(&self.filters, ifindex, hooks)
    }

    /// The hooks of a port on its device.
    fn hooks(&self, kind: PortKind, ifindex: u32) -> Result<&'static [Hook]> {
        let hooks = self.hooks_on_veth(kind)?;
        let is_fastpath = matches!(kind, PortKind::Fastpath { .. });
        Ok(if is_fastpath && device::is_netkit(ifindex) { netkit::instead_of(hooks) } else { hooks })
    }

    fn hooks_on_veth(&self, kind: PortKind) -> Result<&'static [Hook]> {
        let PortKind::Fastpath { network, .. } = kind else { return Ok(kind.hooks()) };
        Ok(if self.learns(network)? {
            &[Hook::LearningPort]
        } else if self.routes(network)? {
            // What the kernel's stack sends to the pod is counted and policed on its way out of the host's end.
            &[Hook::RoutedPort, Hook::HostTapRx]
        } else {
            kind.hooks()
        })
    }

    fn gate(&self, filters: &Filters, ifindex: u32, hooks: &[Hook]) -> Result<()> {
        let mut is_prepared = false;
        for hook in hooks {
            let Some(gate) = hook.gate() else { continue };
            let Some(place) = gate.place else {
                self.link_netkit(*hook, gate.program, ifindex)?;
                continue;
            };
            let program = self.programs.fd(gate.program)?.as_fd().as_raw_fd();
            let prepared = if is_prepared { Ok(()) } else { filters.prepare(ifindex) };
            prepared
                .and_then(|()| filters.set(ifindex, place, hook.as_str(), program))
                .map_err(|error| DatapathError::Attach { hook: *hook, ifindex, reason: error.to_string() })?;
            is_prepared = true;
        }
        Ok(())
    }

    /// Lets XDP on the uplink send to the port if its device can take it; otherwise tcx does, and nothing is lost.
    fn open_to_xdp(&mut self, id: u32, ifindex: u32) -> Result<()> {
        // A kernel before 6.3 does not say.
        if XdpFeatures::of(ifindex).is_ok_and(XdpFeatures::can_receive) {
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
                if self.learns(network)? {
                    keep(self.forget_stations(|_, station| station.port == id));
                    keep(self.maps.station_counts.set(id, 0));
                }
                keep(self.withdraw_hosts(id, &config));
                keep(self.leave(id, network, vlan));
                keep(self.reconcile_uplinks(network));
            }
            keep(self.maps.devices.remove(id));
            keep(self.forget_capture(id));
        }
        if id < self.max_ports {
            let ifindex = port_ifindex(id);
            let action = "remove the filters";
            // Filters in a pod die with its device; until then they count for nobody, as the port is gone.
            keep(self.filters.clear(ifindex).map_err(|source| DatapathError::Device {
                action,
                ifindex,
                source,
            }));
            keep(self.maps.ports.set(id, PortConfig::ZERO));
            keep(self.maps.route_ports.set(id, RoutePort::ZERO));
            keep(policer::clear(&mut self.maps, id, Direction::ToPod));
            keep(policer::clear(&mut self.maps, id, Direction::FromPod));
            keep(policer::install_shaper(&mut self.maps, id, PolicerConfig::ZERO));
            keep(self.maps.counters.reset(id, &Counters::ZERO));
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

    pub(super) fn set_shaped(&mut self, id: u32, is_shaped: bool) -> Result<()> {
        let mut config = self.present(id)?;
        if config.has(PORT_SHAPED) == is_shaped {
            return Ok(());
        }
        config.flags ^= PORT_SHAPED;
        self.maps.ports.set(id, config)
    }

    pub(super) fn set_addresses(&mut self, id: u32, ips: &[IpAddr]) -> Result<()> {
        let old = self.present(id)?;
        let mut config = old;
        spec::set_addresses(id, &mut config, ips)?;
        self.check_hosts(id, &config)?;
        self.maps.ports.set(id, config)?;
        self.withdraw_hosts(id, &old)?;
        self.publish_hosts(id, &config)
    }

    pub(super) fn counters(&self, id: u32) -> Result<PortCounters> {
        self.present(id)?;
        self.maps.counters.sum(id).map(PortCounters::from)
    }

    /// Ports that the maps hold.
    pub(super) fn ports(&self) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for id in 0..self.max_ports {
            if self.maps.ports.get(id)?.has(PORT_PRESENT) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    pub(super) fn port_state(&self, id: u32, socket: Option<BorrowedFd<'_>>) -> Result<PortState> {
        let config = self.present(id)?;
        let ifindex = port_ifindex(id);
        let kind = PortKind::of(&config).ok_or_else(|| DatapathError::Port {
            port: id,
            reason: format!("its kind {} is unknown; remove the port and add it again", config.kind),
        })?;
        let in_pod = socket.filter(|_| kind == PortKind::PodTap).map(filters_over).transpose()?;
        let filters = if kind == PortKind::PodTap { in_pod.as_ref() } else { Some(&self.filters) };
        let hook = |hook: &Hook| match hook {
            Hook::Netkit | Hook::LearningNetkit => self.netkit_state(*hook, ifindex),
            _ => HookState::of_gate(&self.programs, filters, *hook, ifindex),
        };
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        if let PortKind::Fastpath { network, vlan } = kind {
            let owner = self.maps.fdb.get(&FdbKey { network, vlan, mac: config.mac })?;
            if owner.is_none_or(|entry| entry.port != id) {
                problems
                    .push(format!("the forwarding database of network {network} does not lead to the port"));
            }
            if !self.leads_to_hosts(id, &config)? {
                problems.push(format!("network {network} does not lead to all addresses of the port"));
            }
            if !self.members(network, vlan)?.contains(&id) {
                problems.push(format!("the port gets no broadcasts of network {network}"));
            }
            if !self.maps.devices.holds(id, ifindex)? {
                let note = if device::is_netkit(ifindex) {
                    "frames from the uplink come by tc, not by XDP, which cannot redirect into a netkit pair"
                } else {
                    "frames from the uplink come by tc, not by XDP: GRO was off in the pod, or the kernel (before 6.3) \
                     does not tell what the device can take"
                };
                notes.push(note.into());
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
            hooks: self.hooks(kind, ifindex)?.iter().map(hook).collect(),
            problems,
            notes,
        })
    }

    /// The port's configuration, or an error if it has none.
    pub(super) fn present(&self, id: u32) -> Result<PortConfig> {
        let unknown = || DatapathError::Port { port: id, reason: "it does not exist; add it first".into() };
        if id >= self.max_ports {
            return Err(unknown());
        }
        Some(self.maps.ports.get(id)?).filter(|config| config.has(PORT_PRESENT)).ok_or_else(unknown)
    }
}

/// Filters on devices where the socket was opened: inside a pod.
fn filters_over(socket: BorrowedFd<'_>) -> Result<Filters> {
    Filters::over(socket).map_err(|source| DatapathError::Socket { source })
}
