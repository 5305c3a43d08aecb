//! CNI's verbs for a config with `node_slice_size`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, CniResult, Code};

use super::{Held, Lease, PoolSpec, Slices, Span, Wish};
use crate::ipam::whereabouts::allocate::ip_config;
use crate::ipam::whereabouts::config::Config;
use crate::ipam::whereabouts::names;
use crate::ipam::{IpamRequest, IpamResult};

/// Time that is left for undoing and answering.
const MARGIN: Duration = Duration::from_secs(5);

/// The slice pools of a config: the first range's has the original's name, `network_name` or else the network's. The
/// original knows no further ranges; theirs has the range behind it.
pub(in crate::ipam::whereabouts) fn specs(config: &Config, network: &str) -> Result<Vec<PoolSpec>, CniError> {
    let base = if config.network_name.is_empty() { network } else { &config.network_name };
    let spec = |(at, part): (usize, &crate::ipam::whereabouts::config::Part)| {
        let range = &part.range;
        let name = if at == 0 { base.to_owned() } else { names::pool(base, &range.network.to_string()) };
        if !names::is_valid(&name) {
            return Err(CniError::new(Code::InvalidConfig, format!("{name:?} cannot be the name of a NodeSlicePool"))
                .because("it comes from ipam.network_name, or else the network's name: lower case letters, digits, \"-\" and \".\""));
        }
        let span = |(from, to)| Span::new(range.address(from)?, range.address(to)?);
        let usable = span((range.first, range.last)).ok_or_else(|| {
            CniError::new(Code::InvalidConfig, format!("range {range} has no address to give"))
                .because("see its range_start and range_end")
        })?;
        let spec = PoolSpec {
            name,
            network_name: config.network_name.clone(),
            range: range.network,
            slice_size: config.node_slice_size.clone(),
            usable,
            excludes: range.excluded.iter().copied().filter_map(span).collect(),
            checks_overlaps: config.overlapping,
        };
        spec.check().map(|()| spec)
    };
    config.parts.iter().enumerate().map(spec).collect()
}

/// The holder that a request is about.
pub(in crate::ipam::whereabouts) fn lease(request: &IpamRequest) -> Lease {
    let podref = request.args.pod().map(|(namespace, name)| format!("{namespace}/{name}"));
    Lease {
        container_id: request.container_id.to_owned(),
        ifname: request.ifname.to_owned(),
        podref: podref.unwrap_or_default(),
        pod_uid: request.args.get("K8S_POD_UID").unwrap_or_default().to_owned(),
        network: request.network.to_owned(),
    }
}

impl Held {
    /// What an attachment of this config holds, without its addresses. One whose config cannot be read, or is of another
    /// kind, keeps what it has.
    pub fn of(request: &IpamRequest) -> Self {
        let config = Config::of(request).ok().filter(Config::has_slices);
        let specs = config.and_then(|config| specs(&config, request.network).ok());
        Self { lease: lease(request), addresses: Vec::new(), specs: specs.unwrap_or_default() }
    }
}

/// ADD: one address of each range from this node's slices, and the static ones.
pub(in crate::ipam::whereabouts) fn add(
    slices: &Slices,
    request: &IpamRequest,
    config: Config,
) -> Result<IpamResult, CniError> {
    let specs = specs(&config, request.network)?;
    let wishes = specs.into_iter().zip(&config.parts).map(|(spec, part)| Wish { spec, wanted: part.wanted });
    let deadline = request.deadline.checked_sub(MARGIN).unwrap_or(request.deadline);
    let given = slices.acquire(&wishes.collect::<Vec<_>>(), &lease(request), deadline)?;
    let mut ips: Vec<IpConfig> =
        config.parts.iter().zip(given).map(|(part, address)| ip_config(&config, part, address)).collect();
    ips.extend(config.addresses.iter().cloned());
    Ok(IpamResult { ips, routes: config.routes, dns: config.dns })
}

/// CHECK: every address of `prevResult` that lies in a range is held by this container's interface.
pub(in crate::ipam::whereabouts) fn check(
    slices: &Slices,
    request: &IpamRequest,
    config: &Config,
) -> Result<(), CniError> {
    let previous = request.config.get("prevResult").filter(|value| !value.is_null()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "key \"prevResult\" is missing")
            .because("CHECK compares with the result of ADD")
    })?;
    let previous = CniResult::from_value(previous, "prevResult")?;
    let held = slices.held_by(request.container_id, request.ifname);
    let is_static = |address: IpAddr| config.addresses.iter().any(|ip| ip.address.addr() == address);
    for part in &config.parts {
        let given = previous.ips.iter().map(|ip| ip.address.addr().to_canonical());
        let mut of_range =
            given.filter(|address| part.range.offset(*address).is_some() && !is_static(*address)).peekable();
        let fail = |what: String| {
            let what = format!("container {} interface {:?}: {what}", request.container_id, request.ifname);
            Err(CniError::new(Code::CheckFailed, what)
                .because("another pod may get the address; recreate this pod"))
        };
        if of_range.peek().is_none() {
            return fail(format!("prevResult holds no address of range {}", part.range.network));
        }
        if let Some(lost) = of_range.find(|address| !held.contains(address)) {
            return fail(format!("{lost} is not held in this node's slices"));
        }
    }
    Ok(())
}

/// STATUS: each range has a free address here, or a free slice.
pub(in crate::ipam::whereabouts) fn status(
    slices: &Slices,
    request: &IpamRequest,
    config: &Config,
) -> Result<(), CniError> {
    let deadline = request.deadline.min(Instant::now() + Duration::from_secs(10));
    slices.status(&specs(config, request.network)?, deadline).map_err(|error| match error.code {
        Code::RangeExhausted => CniError { code: Code::Unavailable, ..error },
        _ => error,
    })
}
