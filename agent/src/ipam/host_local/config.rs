//! The `ipam` section of `host-local` together with what the runtime asks for, checked as a whole.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use plexus_cni::json;
use plexus_cni::result::Route;
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::range::{Range, RangeSet, RangeText, parse_address, refuse_overlap};
use crate::ipam::IpamRequest;
use crate::ipam::requested::Requested;

/// Most range sets, that is, addresses of one attachment.
const SETS_MAX: usize = 64;
/// Most ranges in one set.
const RANGES_MAX: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    #[serde(default)]
    ranges: Vec<Vec<RangeText>>,
    #[serde(default)]
    routes: Vec<Value>,
    resolv_conf: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeConfig {
    #[serde(default)]
    ip_ranges: Vec<Vec<RangeText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    data_dir: Option<PathBuf>,
}

/// What one ADD has to do.
#[derive(Debug)]
pub(super) struct Config {
    /// Each gives one address; its index names the file `last_reserved_ip.N`.
    pub(super) sets: Vec<RangeSet>,
    /// The address asked for from each set, where there is one.
    pub(super) wanted: Vec<Option<IpAddr>>,
    pub(super) routes: Vec<Route>,
    pub(super) resolv_conf: Option<PathBuf>,
}

impl Config {
    /// Reads ranges, routes and requested addresses; touches nothing.
    pub(super) fn of(request: &IpamRequest) -> Result<Self, CniError> {
        let section: Section = json::typed(request.section()?, "ipam")?;
        let routes = crate::ipam::routes(&section.routes)?;
        let flat: RangeText = json::typed(request.section()?, "ipam")?;
        let sets = sets(request, &flat, &section.ranges)?;
        let wanted = wanted(request, &sets)?;
        let resolv_conf = section.resolv_conf.filter(|path| !path.as_os_str().is_empty());
        Ok(Self { sets, wanted, routes, resolv_conf })
    }
}

/// The configured `dataDir`, or the administrator's first directory where there is none.
///
/// Read without the rest, so that DEL releases although the config has become invalid since.
pub(super) fn data_dir(request: &IpamRequest) -> Result<PathBuf, CniError> {
    let configured = match request.section() {
        Ok(section) => json::typed::<Place>(section, "ipam")?.data_dir,
        Err(_) => None,
    };
    configured.filter(|path| !path.as_os_str().is_empty()).or(request.data_dirs.first().cloned()).ok_or_else(
        || {
            CniError::new(Code::InvalidConfig, "no directory for reservations is allowed")
                .because("allow one in the agent's configuration")
        },
    )
}

/// Range sets in the reference plugin's order: the runtime's, the flat one, then `ranges`.
fn sets(
    request: &IpamRequest,
    flat: &RangeText,
    ranges: &[Vec<RangeText>],
) -> Result<Vec<RangeSet>, CniError> {
    let runtime = match json::object(request.config, "runtimeConfig", "network config")? {
        Some(runtime) => json::typed::<RuntimeConfig>(runtime, "runtimeConfig")?.ip_ranges,
        None => Vec::new(),
    };
    let mut sets = Vec::new();
    for (at, texts) in runtime.iter().enumerate() {
        sets.push(set(texts, &format!("runtimeConfig.ipRanges[{at}]"))?);
    }
    // A flat rangeStart without a subnet counts as absent, as it does for the reference plugin.
    if flat.subnet.is_some() {
        sets.push(RangeSet::new(vec![Range::new(flat, "ipam")?], "ipam")?);
    }
    for (at, texts) in ranges.iter().enumerate() {
        sets.push(set(texts, &format!("ipam.ranges[{at}]"))?);
    }
    if sets.is_empty() {
        return Err(CniError::new(Code::InvalidConfig, "no range is configured")
            .because("fill ipam.subnet, ipam.ranges or runtimeConfig.ipRanges"));
    }
    if sets.len() > SETS_MAX {
        return Err(CniError::new(Code::InvalidConfig, format!("{} range sets are configured", sets.len()))
            .because(format!("at most {SETS_MAX} are possible")));
    }
    refuse_overlap(&sets)?;
    Ok(sets)
}

fn set(texts: &[RangeText], field: &str) -> Result<RangeSet, CniError> {
    if texts.len() > RANGES_MAX {
        return Err(CniError::new(Code::InvalidConfig, format!("{field} has {} ranges", texts.len()))
            .because(format!("at most {RANGES_MAX} are possible")));
    }
    let parse = |(at, text)| Range::new(text, &format!("{field}[{at}]"));
    RangeSet::new(texts.iter().enumerate().map(parse).collect::<Result<_, _>>()?, field)
}

/// Deals the requested addresses out to the sets; one that no set can serve is an error.
fn wanted(request: &IpamRequest, sets: &[RangeSet]) -> Result<Vec<Option<IpAddr>>, CniError> {
    let requested = Requested::of(request)?;
    let mut wanted = vec![None; sets.len()];
    for text in requested.env.iter().chain(&requested.args).chain(&requested.runtime) {
        let address = requested_address(text)?;
        if wanted.contains(&Some(address)) {
            continue;
        }
        let refuse = |why: &str| {
            Err(CniError::new(
                Code::AddressUnavailable,
                format!("requested address {address} cannot be given"),
            )
            .because(why))
        };
        let mut holding = sets.iter().enumerate().filter_map(|(at, set)| Some((at, set.range_for(address)?)));
        // Ranges do not overlap, so at most one set holds the address.
        let Some((at, range)) = holding.next() else {
            let all: Vec<String> = sets.iter().map(ToString::to_string).collect();
            return refuse(&format!("it lies outside the ranges {}", all.join("; ")));
        };
        if address == range.gateway {
            return refuse(&format!("it is the gateway of subnet {}", range.subnet));
        }
        if let Some(other) = wanted[at] {
            return refuse(&format!(
                "range set {} gives one address, and {other} is requested too",
                sets[at]
            ));
        }
        wanted[at] = Some(address);
    }
    Ok(wanted)
}

/// An address with or without a prefix length; the subnet's own length is used in any case.
fn requested_address(text: &str) -> Result<IpAddr, CniError> {
    let text = text.trim();
    parse_address(text)
        .or_else(|| text.parse::<IpNet>().ok().map(|net| net.addr().to_canonical()))
        .ok_or_else(|| {
            CniError::new(Code::InvalidConfig, format!("requested address {text:?} is not an address"))
        })
}
