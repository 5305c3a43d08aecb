//! The `ipam` section together with the node's flat file and what the runtime asks for, checked as a whole.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::json::{self, Object};
use plexus_cni::result::{Dns, IpConfig, Route};
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::range::{Range, RangeText};
use super::{flat_file, names};
use crate::ipam::IpamRequest;
use crate::ipam::requested::{Requested, split};

/// Most ranges, that is, addresses of one attachment from pools.
const RANGES_MAX: usize = 64;
/// Most static addresses beside them.
const ADDRESSES_MAX: usize = 256;

#[derive(Deserialize)]
struct Section {
    #[serde(default, rename = "ipRanges")]
    ip_ranges: Vec<RangeText>,
    gateway: Option<String>,
    #[serde(default)]
    routes: Vec<Value>,
    #[serde(default)]
    dns: Object,
    #[serde(default)]
    addresses: Vec<AddressText>,
    enable_overlapping_ranges: Option<bool>,
    network_name: Option<String>,
    node_slice_size: Option<String>,
}

#[derive(Deserialize)]
struct AddressText {
    address: String,
    gateway: Option<String>,
}

/// What one ADD has to do.
#[derive(Debug)]
pub struct Config {
    /// Each gives one address.
    pub parts: Vec<Part>,
    /// Keeps pools of one range apart; mostly empty.
    pub network_name: String,
    /// Whether an address is reserved against all other ranges.
    pub overlapping: bool,
    /// The next hop of addresses of its family; never given.
    pub gateway: Option<IpAddr>,
    /// As configured.
    pub routes: Vec<Route>,
    /// As configured.
    pub dns: Dns,
    /// Addresses that are set beside those of the pools.
    pub addresses: Vec<IpConfig>,
    /// Prefix length of a node's slice; empty without fast mode.
    pub node_slice_size: String,
}

/// One range of the config.
#[derive(Debug)]
pub struct Part {
    /// The range.
    pub range: Range,
    /// Name of its IPPool.
    pub pool: String,
    /// The address that is asked for.
    pub wanted: Option<IpAddr>,
}

impl Config {
    /// Reads section and flat file; of the API server nothing is asked.
    pub fn of(request: &IpamRequest) -> Result<Self, CniError> {
        let section = request.section()?;
        let merged = if request.cluster.is_some() { flat_file::beneath(section)? } else { section.clone() };
        Self::parse(request, &merged)
    }

    /// Whether addresses come from slices of this node.
    pub fn has_slices(&self) -> bool {
        !self.node_slice_size.is_empty()
    }

    fn parse(request: &IpamRequest, merged: &Object) -> Result<Self, CniError> {
        let section: Section = json::typed(merged, "ipam")?;
        let first: RangeText = json::typed(merged, "ipam")?;
        let gateway = section.gateway.as_deref().filter(|text| !text.is_empty());
        let gateway = gateway.map(|text| address("ipam.gateway", text)).transpose()?;
        let network_name = section.network_name.unwrap_or_default();
        let mut texts: Vec<(String, &RangeText)> = Vec::new();
        if !first.range.is_empty() {
            texts.push(("ipam".into(), &first));
        }
        let more = section.ip_ranges.iter().enumerate();
        texts.extend(more.map(|(at, text)| (format!("ipam.ipRanges[{at}]"), text)));
        if texts.is_empty() {
            return Err(CniError::new(Code::InvalidConfig, "no range is configured")
                .because("fill ipam.range or ipam.ipRanges"));
        }
        if texts.len() > RANGES_MAX {
            return Err(CniError::new(Code::InvalidConfig, format!("{} ranges are configured", texts.len()))
                .because(format!("at most {RANGES_MAX} are possible")));
        }
        let mut parts = Vec::with_capacity(texts.len());
        for (field, text) in texts {
            let mut range = Range::new(text, &field)?;
            if let Some(gateway) = gateway {
                range.exclude(IpNet::from(gateway));
            }
            let pool = names::pool(&network_name, &range.network.to_string());
            if !names::is_valid(&pool) {
                return Err(CniError::new(Code::InvalidConfig, format!("{field} has no possible IPPool"))
                    .because(format!(
                        "{pool:?} is no name that the API server takes; see ipam.network_name"
                    )));
            }
            parts.push(Part { range, pool, wanted: None });
        }
        deal_out(request, &mut parts)?;
        let addresses = static_addresses(request, &section.addresses)?;
        Ok(Self {
            parts,
            network_name,
            overlapping: section.enable_overlapping_ranges.unwrap_or(true),
            gateway,
            routes: crate::ipam::routes(&section.routes)?,
            dns: Dns(section.dns),
            addresses,
            node_slice_size: section.node_slice_size.unwrap_or_default(),
        })
    }
}

/// Gives each requested address to the first range that gives it; one that none gives is an error.
fn deal_out(request: &IpamRequest, parts: &mut [Part]) -> Result<(), CniError> {
    let requested = Requested::of(request)?;
    let mut seen = Vec::new();
    for text in requested.runtime.iter().chain(&requested.args).chain(&requested.env) {
        let net = text.trim().parse::<IpNet>().map(|net| net.addr());
        let wanted = net.or_else(|_| address("requested address", text))?.to_canonical();
        if seen.contains(&wanted) {
            continue;
        }
        let gives = |part: &Part| part.range.offset(wanted).is_some_and(|offset| part.range.gives(offset));
        let refuse = |why: String| {
            Err(CniError::new(
                Code::AddressUnavailable,
                format!("requested address {wanted} cannot be given"),
            )
            .because(why))
        };
        if !parts.iter().any(gives) {
            let all: Vec<String> = parts.iter().map(|part| part.range.to_string()).collect();
            return refuse(format!("it lies outside the ranges {} or is excluded", all.join("; ")));
        }
        match parts.iter_mut().find(|part| part.wanted.is_none() && gives(part)) {
            Some(part) => part.wanted = Some(wanted),
            None => return refuse("its range gives one address, and another one is requested too".into()),
        }
        seen.push(wanted);
    }
    Ok(())
}

fn static_addresses(request: &IpamRequest, texts: &[AddressText]) -> Result<Vec<IpConfig>, CniError> {
    if texts.len() > ADDRESSES_MAX {
        return Err(CniError::new(
            Code::InvalidConfig,
            format!("ipam.addresses has {} entries", texts.len()),
        )
        .because(format!("at most {ADDRESSES_MAX} are possible")));
    }
    let mut ips = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let field = format!("ipam.addresses[{at}]");
        let net = text.address.trim().parse::<IpNet>().map_err(|_| {
            CniError::new(
                Code::InvalidConfig,
                format!("{field}.address {:?} is not an address", text.address),
            )
            .because("write the address with its prefix length, such as 10.0.0.5/24 or fd00::5/64")
        })?;
        let gateway = text.gateway.as_deref().filter(|text| !text.is_empty());
        let gateway = gateway.map(|text| address(&format!("{field}.gateway"), text)).transpose()?;
        ips.push(IpConfig { address: net, gateway, interface: None, extra: Object::new() });
    }
    for text in request.args.get("GATEWAY").map(split).unwrap_or_default() {
        let gateway = address("GATEWAY in CNI_ARGS", &text)?;
        for ip in ips.iter_mut().filter(|ip| ip.address.contains(&gateway)) {
            ip.gateway = Some(gateway);
        }
    }
    Ok(ips)
}

fn address(field: &str, text: &str) -> Result<IpAddr, CniError> {
    text.trim().parse().map_err(|_| {
        CniError::new(Code::InvalidConfig, format!("{field} {text:?} is not an address"))
            .because("write it as 10.0.0.1 or fd00::1")
    })
}

#[cfg(test)]
mod tests;
