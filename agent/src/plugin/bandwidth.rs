//! `bandwidth`, chained: a rate limit on the interface that the chain made, whatever its kind.
//!
//! Config as of the reference plugin (containernetworking/plugins, plugins/meta/bandwidth): rates in bits per second,
//! bursts in bits, inline or in `runtimeConfig.bandwidth`. Unlike there, a policer in eBPF enforces it: no ifb device,
//! no queue, and it works where there is no veth.

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;
use serde_json::Value;

use super::{Attached, Plugin, PluginCall};
use crate::record::{PortRecord, Rate};

/// The plugin.
pub(super) struct Bandwidth;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    #[serde(default)]
    ingress_rate: u64,
    #[serde(default)]
    ingress_burst: u64,
    #[serde(default)]
    egress_rate: u64,
    #[serde(default)]
    egress_burst: u64,
}

/// What runtimes pass for kubernetes.io/ingress-bandwidth and egress-bandwidth, which have no burst: containerd and
/// cri-dockerd, CRI-O. As bursts they would let the first seconds pass without a limit.
const NO_BURST_BITS: [u64; 3] = [i32::MAX as u64, u32::MAX as u64, BURST_BITS_MAX - 1];
/// The policer's range, in bits per second.
const RATE_BPS: std::ops::RangeInclusive<u64> = 1_000..=400_000_000_000;
/// Largest burst that the reference accepts: 4 GiB in bytes as a 32-bit number, in bits.
const BURST_BITS_MAX: u64 = (u32::MAX as u64) * 8;

impl Limits {
    /// Inline limits, or those of the runtime where there are any (the reference's precedence).
    fn of(call: &PluginCall<'_>) -> Result<Self, CniError> {
        let runtime =
            call.runtime_config()?.and_then(|runtime| runtime.get("bandwidth")).and_then(Value::as_object);
        let limits: Self = match runtime {
            Some(bandwidth) if !bandwidth.is_empty() => {
                plexus_cni::json::typed::<Self>(bandwidth, "bandwidth: runtimeConfig.bandwidth")?.of_runtime()
            }
            _ => call.config.typed()?,
        };
        limits.check()?;
        Ok(limits)
    }

    /// Without the bursts that stand for none.
    fn of_runtime(mut self) -> Self {
        for burst in [&mut self.ingress_burst, &mut self.egress_burst] {
            if NO_BURST_BITS.contains(burst) {
                *burst = 0;
            }
        }
        self
    }

    fn check(&self) -> Result<(), CniError> {
        for (direction, rate, burst) in [
            ("ingress", self.ingress_rate, self.ingress_burst),
            ("egress", self.egress_rate, self.egress_burst),
        ] {
            let wrong = |key: &str, value: u64, why: String| {
                Err(CniError::new(
                    Code::InvalidConfig,
                    format!("bandwidth: key \"{direction}{key}\" is {value}"),
                )
                .because(why))
            };
            if rate == 0 && burst != 0 {
                return wrong("Burst", burst, format!("a burst needs {direction}Rate"));
            }
            if rate != 0 && !RATE_BPS.contains(&rate) {
                return wrong(
                    "Rate",
                    rate,
                    format!("it must be {} to {} bits per second", RATE_BPS.start(), RATE_BPS.end()),
                );
            }
            if burst > BURST_BITS_MAX {
                return wrong("Burst", burst, format!("it must be at most {BURST_BITS_MAX} bits"));
            }
        }
        Ok(())
    }

    fn ingress(&self) -> Option<Rate> {
        limit(self.ingress_rate, self.ingress_burst)
    }

    fn egress(&self) -> Option<Rate> {
        limit(self.egress_rate, self.egress_burst)
    }
}

/// A rate with its burst; a burst left out is 250 ms of the rate. The first second is no flood, and TCP keeps the rate: what
/// it loses to an empty bucket it sends again after 200 ms (Linux' `TCP_RTO_MIN`), and a bucket that is full earlier wastes
/// the rest of that wait.
fn limit(rate_bps: u64, burst_bits: u64) -> Option<Rate> {
    let burst_bits = if burst_bits == 0 { rate_bps / 4 } else { burst_bits };
    (rate_bps != 0).then_some(Rate { rate_bps, burst_bits })
}

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
        Limits::of(call).map(drop)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        refuse_subnets(config)?;
        config.typed::<Limits>()?.check()
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let limits = Limits::of(call)?;
        let result = call.require_prev_result()?.clone();
        let Some(mut port) = call.port.cloned() else {
            return without_port(call, result);
        };
        (port.ingress, port.egress) = (limits.ingress(), limits.egress());
        set(call, &port)?;
        Ok(Attached { result, port: Some(port) })
    }

    fn live_keys(&self, _config: &PluginConfig) -> &'static [&'static str] {
        &["ingressRate", "ingressBurst", "egressRate", "egressBurst", "capabilities"]
    }

    fn wanted_port(&self, call: &PluginCall<'_>, port: PortRecord) -> Result<PortRecord, CniError> {
        let limits = Limits::of(call)?;
        Ok(PortRecord { ingress: limits.ingress(), egress: limits.egress(), ..port })
    }

    fn change(&self, call: &PluginCall<'_>) -> Result<Option<PortRecord>, CniError> {
        call.port.map_or(Ok(()), |port| set(call, port)).map(|()| None)
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        let limits = Limits::of(call)?;
        if call.port.is_none() && call.port_id.is_some() {
            return Ok(());
        }
        let is_set =
            call.port.is_some_and(|port| (port.ingress, port.egress) == (limits.ingress(), limits.egress()));
        if !is_set {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} has other limits", call.ifname),
            )
            .because("the port's policers differ from the config; restart the pod"));
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        match call.port {
            Some(port) => call.agent.datapath.set_policers(port.id, None, None).map_err(Into::into),
            None => Ok(()),
        }
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// Gives the port in the data plane the limits that its record has.
fn set(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    let limits = [port.ingress, port.egress].map(|rate| rate.map(Into::into));
    call.agent.datapath.set_policers(port.id, limits[0], limits[1]).map_err(Into::into)
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
