//! Netfilter rules of an attachment.

use ipnet::IpNet;
use plexus_cni::config::PluginConfig;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::config::Config;
use super::link;
use crate::nft::{Masquerade, SpoofCheck};
use crate::plugin::PluginCall;
use crate::plugin::undo::Undo;

/// Drops frames of the container with another source hardware address.
pub(super) fn check_source<'a>(
    call: &'a PluginCall<'a>,
    mac: [u8; 6],
    undo: &mut Undo<'a>,
) -> Result<(), CniError> {
    undo.push(|| remove_source_check(call));
    let port = link::host_name(call.container_id, call.ifname);
    Ok(source_check(call, &port).install(mac)?)
}

/// Translates what leaves the subnets.
pub(super) fn masquerade<'a>(
    call: &'a PluginCall<'a>,
    ips: &[IpConfig],
    undo: &mut Undo<'a>,
) -> Result<(), CniError> {
    let addresses = addresses(ips);
    undo.push(|| remove_masquerade(call, &[]));
    Ok(masquerade_of(call, &addresses).install()?)
}

/// Removes the rules that the config may have made; the rest of it need not be valid (any more).
pub(super) fn remove(call: &PluginCall<'_>) -> Result<(), CniError> {
    let known = call.prev_result.map(|result| addresses(&result.ips)).unwrap_or_default();
    let masquerade = if is_on(call.config, "ipMasq") { remove_masquerade(call, &known) } else { Ok(()) };
    let check = if is_on(call.config, "macspoofchk") { remove_source_check(call) } else { Ok(()) };
    masquerade.and(check)
}

/// Whether the config asks for these rules.
pub(super) fn is_on(config: &PluginConfig, key: &str) -> bool {
    config.0.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Rules that are missing are a difference (C090).
pub(super) fn check(call: &PluginCall<'_>, config: &Config, ips: &[IpConfig]) -> Result<(), CniError> {
    let missing = |what: &str| {
        Err(CniError::new(Code::CheckFailed, format!("interface {} has no {what} rules", call.ifname))
            .because("something removed them from table plexus of nftables; restart the pod"))
    };
    let addresses = addresses(ips);
    if config.ip_masq && !addresses.is_empty() && !masquerade_of(call, &addresses).is_installed()? {
        return missing("masquerading");
    }
    let port = link::host_name(call.container_id, call.ifname);
    if config.macspoofchk && !source_check(call, &port).is_installed()? {
        return missing("macspoofchk");
    }
    Ok(())
}

fn remove_masquerade(call: &PluginCall<'_>, addresses: &[IpNet]) -> Result<(), CniError> {
    Ok(masquerade_of(call, addresses).remove()?)
}

fn remove_source_check(call: &PluginCall<'_>) -> Result<(), CniError> {
    let port = link::host_name(call.container_id, call.ifname);
    Ok(source_check(call, &port).remove()?)
}

fn masquerade_of<'a>(call: &PluginCall<'a>, addresses: &'a [IpNet]) -> Masquerade<'a> {
    Masquerade { container_id: call.container_id, ifname: call.ifname, addresses }
}

fn source_check<'a>(call: &PluginCall<'a>, port: &'a str) -> SpoofCheck<'a> {
    SpoofCheck { container_id: call.container_id, ifname: call.ifname, port }
}

fn addresses(ips: &[IpConfig]) -> Vec<IpNet> {
    ips.iter().map(|ip| ip.address).collect()
}
