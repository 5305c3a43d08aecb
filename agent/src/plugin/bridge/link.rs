//! The bridge and the veth pair.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use plexus_cni::{CniError, Code};

use super::config::{Config, Vlans};
use super::{config, sysctl, vlan};
use crate::netlink::{Link, LinkPlan};
use crate::plugin::PluginCall;
use crate::plugin::undo::Undo;

/// How long a new port may take until traffic passes it; the reference plugin waits as long.
const RUNNING_WAIT: Duration = Duration::from_millis(2_550);
/// Between two looks at a new port.
const RUNNING_PAUSE: Duration = Duration::from_millis(2);

/// Held while a bridge is made and gets a port, and while an unused one is removed.
static BRIDGES: Mutex<()> = Mutex::new(());

/// The links of one attachment.
#[derive(Clone, Debug)]
pub(super) struct Veth {
    pub(super) bridge: Link,
    pub(super) host: Link,
    pub(super) container: Link,
}

/// Refuses a name that another kind of link has.
pub(super) fn refuse_other_kind(call: &PluginCall<'_>, bridge: &str) -> Result<(), CniError> {
    existing_bridge(call, bridge).map(drop)
}

/// The bridge of this name, if there is one.
pub(super) fn existing_bridge(call: &PluginCall<'_>, name: &str) -> Result<Option<Link>, CniError> {
    match call.host.link_by_name(name)? {
        Some(link) if link.kind != "bridge" => {
            let kind = if link.kind.is_empty() { "a device" } else { &link.kind };
            Err(CniError::new(
                Code::InvalidConfig,
                format!("bridge: key \"bridge\" names {name}, which is no bridge"),
            )
            .because(format!("it is {kind}; choose another name")))
        }
        found => Ok(found),
    }
}

/// Makes the bridge where it is missing, and the pair between it and the container.
pub(super) fn connect<'a>(
    call: &'a PluginCall<'a>,
    config: &'a Config,
    undo: &mut Undo<'a>,
) -> Result<Veth, CniError> {
    let _alone = alone();
    let bridge = ensure_bridge(call, config, undo)?;
    call.add_veth(config.mtu, config.mac)?;
    undo.push(|| call.delete_host_end());
    let port = by_name(call, &call.host_end_name())?;
    call.host.set_controller(port.index, bridge.index)?;
    call.host.set_bridge_port(port.index, config.hairpin_mode, config.port_isolation)?;
    vlan::join(call, config, port.index)?;
    call.host.set_up(port.index)?;
    Ok(Veth { bridge, host: by_index(call, port.index)?, container: call.require_link()? })
}

fn ensure_bridge<'a>(
    call: &'a PluginCall<'a>,
    config: &'a Config,
    undo: &mut Undo<'a>,
) -> Result<Link, CniError> {
    let bridge = match existing_bridge(call, &config.bridge)? {
        Some(bridge) => bridge,
        None => make_bridge(call, config, undo)?,
    };
    if config.promisc_mode && !bridge.is_promiscuous {
        call.host.set_promiscuous(bridge.index, true)?;
    }
    sysctl::ignore_router_advertisements(&config.bridge);
    if !bridge.is_up {
        call.host.set_up(bridge.index)?;
    }
    by_index(call, bridge.index)
}

fn make_bridge<'a>(
    call: &'a PluginCall<'a>,
    config: &'a Config,
    undo: &mut Undo<'a>,
) -> Result<Link, CniError> {
    let plan = LinkPlan { name: &config.bridge, mtu: config.mtu, ..LinkPlan::default() };
    match call.host.add_bridge(&plan, config.vlans != Vlans::Unaware) {
        // Somebody else was faster.
        Err(error) if error.errno == Errno::EEXIST => {}
        outcome => {
            outcome?;
            undo.push(|| delete_unused_bridge(call, &config.bridge));
        }
    }
    existing_bridge(call, &config.bridge)?.ok_or_else(|| gone(&config.bridge))
}

/// Takes back a bridge that this ADD made, unless another attachment has joined it meanwhile.
fn delete_unused_bridge(call: &PluginCall<'_>, name: &str) -> Result<(), CniError> {
    let _alone = alone();
    let Some(bridge) = existing_bridge(call, name)? else { return Ok(()) };
    let is_used = call.host.links()?.iter().any(|link| link.controller == Some(bridge.index));
    if is_used { Ok(()) } else { Ok(call.host.delete_link(bridge.index)?) }
}

/// Deletes the pair: at the host's end, which is there even where the container's namespace is gone.
pub(super) fn disconnect(call: &PluginCall<'_>) -> Result<(), CniError> {
    call.delete_host_end()?;
    let Some(sandbox) = call.sandbox else { return Ok(()) };
    match sandbox.netlink.link_by_name(call.ifname)? {
        Some(link) if is_port_of_our_bridge(call, &link)? => Ok(sandbox.netlink.delete_link(link.index)?),
        _ => Ok(()),
    }
}

/// Whether the other end is a port of the config's bridge: so it is where the reference plugin made the pair, which
/// names the host's end by chance. Any other interface of this name is not ours to delete.
fn is_port_of_our_bridge(call: &PluginCall<'_>, link: &Link) -> Result<bool, CniError> {
    let Some(peer) = link.parent.filter(|_| link.kind == "veth") else { return Ok(false) };
    let Some(peer) = call.host.link_by_index(peer)? else { return Ok(false) };
    let Some(bridge) = call.host.link_by_name(&config::bridge_name(call)?)? else { return Ok(false) };
    Ok(peer.kind == "veth" && peer.parent == Some(link.index) && peer.controller == Some(bridge.index))
}

/// Waits until the port passes traffic: the kernel reports a carrier a moment after both ends are up.
pub(super) fn wait_until_running(call: &PluginCall<'_>, port: u32) -> Result<(), CniError> {
    let give_up_at = Instant::now() + RUNNING_WAIT;
    loop {
        let link = by_index(call, port)?;
        if link.is_running {
            return Ok(());
        }
        if Instant::now() >= give_up_at {
            return Err(CniError::new(Code::Kernel, format!("bridge: port {} has no carrier", link.name))
                .because("the container's end did not come up; see `ip link` in both namespaces"));
        }
        std::thread::sleep(RUNNING_PAUSE);
    }
}

pub(super) fn by_name(call: &PluginCall<'_>, name: &str) -> Result<Link, CniError> {
    call.host.link_by_name(name)?.ok_or_else(|| gone(name))
}

pub(super) fn by_index(call: &PluginCall<'_>, index: u32) -> Result<Link, CniError> {
    call.host.link_by_index(index)?.ok_or_else(|| gone(&format!("with index {index}")))
}

fn gone(name: &str) -> CniError {
    CniError::new(Code::Kernel, format!("bridge: link {name} is gone"))
        .because("something else on the node deleted it; try again")
}

pub(super) fn alone() -> MutexGuard<'static, ()> {
    BRIDGES.lock().unwrap_or_else(PoisonError::into_inner)
}
