//! Checks of single fields of a selection element.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::wrong;
use crate::error::CniError;
use crate::json::Object;
use crate::limits::{ADDRESSES_MAX, PORT_MAPPINGS_MAX, TEXT_FIELD_BYTES_MAX};

/// Addresses with or without a prefix length.
pub(super) fn ips(ips: Vec<String>, what: &str) -> Result<Vec<String>, CniError> {
    if ips.len() > ADDRESSES_MAX {
        return Err(wrong(
            what,
            format!("field \"ips\": {} addresses, at most {ADDRESSES_MAX} are allowed", ips.len()),
        ));
    }
    for (at, ip) in ips.iter().enumerate() {
        if ip.parse::<IpAddr>().is_err() && ip.parse::<IpNet>().is_err() {
            return Err(wrong(
                what,
                format!("field \"ips\"[{at}]: {ip:?} is neither an address nor address/length"),
            ));
        }
    }
    Ok(ips)
}

/// A unicast Ethernet address, as six octets with colons.
pub(super) fn mac(text: &str, what: &str) -> Result<String, CniError> {
    let fail = |why: &str| wrong(what, format!("field \"mac\": {text:?} {why}"));
    let octets =
        octets(text, 6).ok_or_else(|| fail("is not an Ethernet address such as 02:00:5e:10:00:01"))?;
    if octets.iter().all(|octet| *octet == 0) {
        return Err(fail("is all zero"));
    }
    if octets[0] & 1 == 1 {
        return Err(fail("is a multicast address"));
    }
    Ok(with_colons(&octets))
}

/// An InfiniBand GUID, as eight octets with colons.
pub(super) fn guid(text: &str, what: &str) -> Result<String, CniError> {
    let octets = octets(text, 8);
    let usable = octets.filter(|octets| octets.iter().any(|octet| !matches!(octet, 0 | 0xff)));
    usable.map(|octets| with_colons(&octets)).ok_or_else(|| {
        wrong(what, format!("field \"infiniband-guid\": {text:?} is not a GUID of eight octets"))
    })
}

/// Port mappings as in the capability `portMappings`.
pub(super) fn port_mappings(mappings: Vec<Object>, what: &str) -> Result<Vec<Value>, CniError> {
    if mappings.len() > PORT_MAPPINGS_MAX {
        let count = mappings.len();
        return Err(wrong(
            what,
            format!("field \"portMappings\": {count} mappings, at most {PORT_MAPPINGS_MAX} are allowed"),
        ));
    }
    for (at, mapping) in mappings.iter().enumerate() {
        for (key, value) in mapping {
            let is_right = match key.as_str() {
                "hostPort" => value.as_u64().is_some_and(|port| u16::try_from(port).is_ok()),
                "containerPort" => value.as_u64().is_some_and(|port| port > 0 && u16::try_from(port).is_ok()),
                "protocol" => value.as_str().is_some_and(is_protocol),
                "hostIP" => value.as_str().is_some_and(|ip| ip.is_empty() || ip.parse::<IpAddr>().is_ok()),
                _ => false,
            };
            if !is_right {
                return Err(wrong(
                    what,
                    format!("field \"portMappings\"[{at}]: {key} {value} cannot be used"),
                ));
            }
        }
        if let Some(key) = ["hostPort", "containerPort"].into_iter().find(|key| !mapping.contains_key(*key)) {
            return Err(wrong(what, format!("field \"portMappings\"[{at}]: {key} is missing")));
        }
    }
    Ok(mappings.into_iter().map(Value::Object).collect())
}

/// Limits as in the capability `bandwidth`: rates in bits per second, bursts in bits.
pub(super) fn bandwidth(limits: Object, what: &str) -> Result<Object, CniError> {
    for (key, value) in &limits {
        if !matches!(key.as_str(), "ingressRate" | "ingressBurst" | "egressRate" | "egressBurst") {
            return Err(wrong(what, format!("field \"bandwidth\": key {key:?} is unknown")));
        }
        if value.as_u64().is_none() {
            return Err(wrong(
                what,
                format!("field \"bandwidth\": {key} {value} is not a whole number of bits"),
            ));
        }
    }
    Ok(limits)
}

/// At most one gateway of each family.
pub(super) fn default_route(gateways: Vec<IpAddr>, what: &str) -> Result<Vec<IpAddr>, CniError> {
    let four = gateways.iter().filter(|gateway| gateway.is_ipv4()).count();
    if four > 1 || gateways.len() - four > 1 {
        return Err(wrong(what, "field \"default-route\": more than one gateway of one address family"));
    }
    if let Some(gateway) = gateways.iter().find(|gateway| gateway.is_unspecified() || gateway.is_multicast())
    {
        return Err(wrong(what, format!("field \"default-route\": {gateway} is not a gateway's address")));
    }
    Ok(gateways)
}

/// A printable text without white space.
pub(super) fn text(text: String, key: &str, what: &str) -> Result<String, CniError> {
    if text.len() <= TEXT_FIELD_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(wrong(
        what,
        format!("field {key:?}: it must be printable ASCII of at most {TEXT_FIELD_BYTES_MAX} bytes"),
    ))
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// The octets of `00:11:22…`, `00-11-22…` or `0011.2233…`, as Go's ParseMAC reads them.
fn octets(text: &str, count: usize) -> Option<Vec<u8>> {
    let (separator, digits) = match text.find([':', '-', '.'])? {
        2 if text.contains(':') => (':', 2),
        2 => ('-', 2),
        4 => ('.', 4),
        _ => return None,
    };
    let mut octets = Vec::with_capacity(count);
    for group in text.split(separator) {
        if group.len() != digits
            || !group.bytes().all(|byte| byte.is_ascii_hexdigit())
            || octets.len() >= count
        {
            return None;
        }
        for at in (0..digits).step_by(2) {
            octets.push(u8::from_str_radix(&group[at..at + 2], 16).ok()?);
        }
    }
    (octets.len() == count).then_some(octets)
}

fn with_colons(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}
