//! `bandwidth`, chained: a rate limit on the interface that the chain made, whatever its kind.
//!
//! Config as of the reference plugin (containernetworking/plugins, plugins/meta/bandwidth): rates in bits per second,
//! bursts in bits, inline or in `runtimeConfig.bandwidth`. Unlike there, eBPF enforces it: no ifb device, and it works where
//! there is no veth. What exceeds the rate is dropped, or, if the pod sends it and the kernel has fq, waits.

mod limits;
pub(super) mod shaping;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};

use self::limits::Limits;
use self::shaping::Choice;
use super::{Attached, Plugin, PluginCall};
use crate::record::PortRecord;

/// The plugin.
pub(super) struct Bandwidth;

/// Limits for a part of the traffic are not there.
fn refuse_subnets(config: &PluginConfig) -> Result<(), CniError> {
    for key in ["shapedSubnets", "unshapedSubnets"] {
        if let Some(value) = config.0.get(key).filter(|value| !value.is_null()) {
            return Err(CniError::new(Code::UnsupportedField, format!("bandwidth: key {key:?} is {value}"))
                .because(
                    "the limit is on the whole interface; remove the key, or use the binary with exec",
                ));
        }
    }
    Ok(())
}

impl Plugin for Bandwidth {
    fn creates_interface(&self) -> bool {
        false
    }

    fn keys(&self) -> &'static [&'static str] {
        &["ingressRate", "ingressBurst", "egressRate", "egressBurst", "shapedSubnets", "unshapedSubnets"]
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        refuse_subnets(call.config)?;
        Choice::of(call.config)?;
        Limits::of(call).map(drop)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        refuse_subnets(config)?;
        Choice::of(config)?;
        config.typed::<Limits>()?.check()
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let limits = Limits::of(call)?;
        let result = call.require_prev_result()?.clone();
        let Some(port) = call.port else { return without_port(call, result) };
        let port = keep(call, limits, port)?;
        Ok(Attached { result, port: Some(port) })
    }

    fn live_keys(&self, _config: &PluginConfig) -> &'static [&'static str] {
        &["ingressRate", "ingressBurst", "egressRate", "egressBurst", "capabilities", "plexus"]
    }

    fn wanted_port(&self, call: &PluginCall<'_>, port: PortRecord) -> Result<PortRecord, CniError> {
        let limits = Limits::of(call)?;
        let egress = limits.egress(port.is_shaped());
        Ok(PortRecord { ingress: limits.ingress(), egress, ..port })
    }

    fn change(&self, call: &PluginCall<'_>) -> Result<Option<PortRecord>, CniError> {
        let limits = Limits::of(call)?;
        call.port.map(|port| keep(call, limits, port)).transpose()
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        let limits = Limits::of(call)?;
        if call.port.is_none() && call.port_id.is_some() {
            return Ok(());
        }
        let has_limits = |port: &&PortRecord| {
            (port.ingress, port.egress) == (limits.ingress(), limits.egress(port.is_shaped()))
        };
        let Some(port) = call.port.filter(has_limits) else {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} has other limits", call.ifname),
            )
            .because("the port's policers differ from the config; restart the pod"));
        };
        shaping::check(call, port)?;
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let Some(port) = call.port else { return Ok(()) };
        let datapath = &call.agent.datapath;
        datapath.set_policers(port.id, None, None)?;
        PortRecord { shaping: None, ..port.clone() }.shape(datapath)?;
        if port.is_shaped() { shaping::clear(call, port) } else { Ok(()) }
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// Keeps the port to the limits; returns it as it is then. fq is there before the first packet gets a time, and stays until
/// the last one has.
fn keep(call: &PluginCall<'_>, limits: Limits, before: &PortRecord) -> Result<PortRecord, CniError> {
    let choice = Choice::of(call.config)?;
    let mut port = before.clone();
    port.shaping = match limits.egress(false) {
        Some(_) => Some(shaping::prepare(call, before, choice)?),
        None => None,
    };
    (port.ingress, port.egress) = (limits.ingress(), limits.egress(port.is_shaped()));
    let [ingress, egress] = [port.ingress, port.egress_policer()].map(|rate| rate.map(Into::into));
    let datapath = &call.agent.datapath;
    let policed = datapath.set_policers(port.id, ingress, egress).map_err(CniError::from);
    match policed.and_then(|()| port.shape(datapath)) {
        Err(error) => Err(call.undone(error, shaping::clear(call, &port))),
        Ok(()) if before.is_shaped() && !port.is_shaped() => shaping::clear(call, &port).map(|()| port),
        Ok(()) => Ok(port),
    }
}

/// An interface of ours without a port, such as a device that belongs to a driver in user space, cannot be limited: the
/// pod starts, and is told. Somebody else's interface is refused.
fn without_port(call: &PluginCall<'_>, result: CniResult) -> Result<Attached, CniError> {
    if call.port_id.is_none() {
        return Err(CniError::new(
            Code::UnsupportedField,
            format!("bandwidth: type \"bandwidth\" on interface {}", call.ifname),
        )
        .because(
            "the interface was made by a plugin outside Plexus; add \"plexus\": {\"exec\": true} to use the bandwidth \
             binary",
        ));
    }
    call.lacks("no bandwidth limit: the kernel does not see this device's packets");
    Ok(Attached { result, port: None })
}
