//! Netfilter rules of an attachment.

use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};

use super::config::Config;
use crate::nft::SpoofCheck;
use crate::plugin::PluginCall;
use crate::plugin::masquerade::is_on;
use crate::plugin::undo::Undo;

/// Drops frames of the container with another source hardware address.
pub(super) fn check_source<'a>(
    call: &'a PluginCall<'a>,
    mac: [u8; 6],
    undo: &mut Undo<'a>,
) -> Result<(), CniError> {
    undo.push(|| remove_source_check(call));
    let port = call.host_end_name();
    Ok(source_check(call, &port).install(mac)?)
}

/// Removes the rules that the config may have made; the rest of it need not be valid (any more).
pub(super) fn remove(call: &PluginCall<'_>) -> Result<(), CniError> {
    let masquerade = call.unmasquerade();
    let check = if is_on(call.config, "macspoofchk") { remove_source_check(call) } else { Ok(()) };
    masquerade.and(check)
}

/// Rules that are missing are a difference (C090).
pub(super) fn check(call: &PluginCall<'_>, config: &Config, ips: &[IpConfig]) -> Result<(), CniError> {
    let missing = |what: &str| {
        Err(CniError::new(Code::CheckFailed, format!("interface {} has no {what} rules", call.ifname))
            .because("something removed them from table plexus of nftables; restart the pod"))
    };
    if config.ip_masq && !call.is_masqueraded(ips)? {
        return missing("masquerading");
    }
    let port = call.host_end_name();
    if config.macspoofchk && !source_check(call, &port).is_installed()? {
        return missing("macspoofchk");
    }
    Ok(())
}

fn remove_source_check(call: &PluginCall<'_>) -> Result<(), CniError> {
    let port = call.host_end_name();
    Ok(source_check(call, &port).remove()?)
}

fn source_check<'a>(call: &PluginCall<'a>, port: &'a str) -> SpoofCheck<'a> {
    SpoofCheck { container_id: call.container_id, ifname: call.ifname, port }
}
