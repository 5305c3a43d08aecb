//! The port of an interface whose hardware address changes.

use plexus_cni::CniError;

use super::backup::Station;
use super::config::Config;
use crate::plugin::PluginCall;
use crate::plugin::fastpath::follow_mac;
use crate::record::{PortKind, PortRecord};

/// The uplink that has to listen for the new hardware address, for an interface of a fastpath network.
pub(super) fn station(call: &PluginCall<'_>, config: &Config) -> Option<Station> {
    match (&call.port?.kind, config.mac) {
        (PortKind::Fastpath { uplink: Some(uplink), .. }, Some(mac)) if mac != call.port?.mac => {
            Some(Station { uplink: uplink.clone(), mac })
        }
        _ => None,
    }
}

/// The data plane knows a port by its hardware address: forwarding and source checks follow.
pub(super) fn follow(call: &PluginCall<'_>, port: &PortRecord, mac: [u8; 6]) -> Result<PortRecord, CniError> {
    let moved = PortRecord { mac, ..port.clone() };
    if moved == *port {
        return Ok(moved);
    }
    call.remove_port()?;
    call.add_port(&moved)?;
    follow_mac(call, &moved)?;
    if let PortKind::Fastpath { uplink: Some(uplink), .. } = &port.kind
        && let Some(uplink) = call.host.link_by_name(uplink)?
    {
        call.host.add_station(uplink.index, mac)?;
    }
    Ok(moved)
}

/// Undoes `follow`, as far as it came.
pub(super) fn move_back(call: &PluginCall<'_>, config: &Config) -> Result<(), CniError> {
    match call.port.filter(|port| config.mac.is_some_and(|mac| mac != port.mac)) {
        Some(port) => call.remove_port().and_then(|()| call.add_port(port)),
        None => Ok(()),
    }
}
