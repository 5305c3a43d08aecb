//! One way to limit what a pod receives, or what it sends.

use anyhow::{Context as _, Result};
use plexus_agent::lab::{NetNs, Pod, Runtime};
use serde_json::{Value, json};

use super::rate::Rate;
use crate::packets::end::End;
use crate::packets::wiring::IFNAME;

/// Spoken by the reference plugins of Debian 12, so by every arm.
pub(super) const CNI_VERSION: &str = "1.0.0";

/// Two pods, and a limit on what the second receives.
pub(super) struct Arm {
    pub(super) name: &'static str,
    pub(super) from: End,
    pub(super) to: End,
    /// The host's end of the sender's veth.
    pub(super) entry: String,
    pub(super) limiter: Limiter,
}

/// Who sets the limit.
pub(super) enum Limiter {
    /// A chained CNI plugin `bandwidth`.
    Plugin(Box<Plugin>),
    /// `tc`, on a device.
    Tbf(Device),
}

/// A device, and where it is.
pub(super) struct Device {
    pub(super) netns: NetNs,
    pub(super) name: String,
}

/// Which of a pod's traffic is limited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    ToPod,
    FromPod,
}

impl Direction {
    /// The keys of rate and burst.
    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::ToPod => ["ingressRate", "ingressBurst"],
            Self::FromPod => ["egressRate", "egressBurst"],
        }
    }

    /// The qdisc that the standard plugin puts on the host's end of a veth: tbf, or what leads to an ifb device.
    const fn qdisc(self) -> &'static str {
        match self {
            Self::ToPod => "root",
            Self::FromPod => "ingress",
        }
    }
}

/// A chained plugin and whom it limits.
pub(super) struct Plugin {
    pub(super) runtime: Runtime,
    pub(super) pod: Pod,
    pub(super) direction: Direction,
    /// What the main plugin answered.
    pub(super) result: Value,
    /// The device on which the plugin leaves a qdisc when it is deleted; it expects that the device goes too.
    pub(super) qdisc_left_on: Option<Device>,
}

impl Limiter {
    /// Sets a limit where there is none; without a burst the plugin chooses one.
    pub(super) fn set(&self, rate: Rate, burst_bits: Option<u64>) -> Result<()> {
        match self {
            Self::Plugin(plugin) => {
                let mut config = config();
                let [key, burst_key] = plugin.direction.keys();
                config[key] = json!(rate.bps);
                if let Some(bits) = burst_bits {
                    config[burst_key] = json!(bits);
                }
                config["prevResult"] = plugin.result.clone();
                let outcome = plugin.runtime.add(&plugin.pod, IFNAME, &config)?;
                outcome.success().with_context(|| format!("cannot set a limit of {}", rate.label))?;
            }
            Self::Tbf(device) => {
                let rate = format!("{}bit", rate.bps);
                let burst = format!("{}b", burst_bits.unwrap_or_default() / 8);
                let tbf = ["tbf", "rate", &rate, "burst", &burst, "latency", "25ms"];
                device.qdisc("add", "root", &tbf)?;
            }
        }
        Ok(())
    }

    /// Takes the limit away.
    pub(super) fn clear(&self) -> Result<()> {
        match self {
            Self::Plugin(plugin) => {
                let mut config = config();
                config["prevResult"] = plugin.result.clone();
                plugin
                    .runtime
                    .del(&plugin.pod, IFNAME, &config)?
                    .success()
                    .context("cannot take a limit away")?;
                match &plugin.qdisc_left_on {
                    Some(device) => device.qdisc("del", plugin.direction.qdisc(), &[]),
                    None => Ok(()),
                }
            }
            Self::Tbf(device) => device.qdisc("del", "root", &[]),
        }
    }
}

impl Device {
    fn qdisc(&self, verb: &str, place: &str, rest: &[&str]) -> Result<()> {
        let words = [&["qdisc", verb, "dev", &self.name, place][..], rest].concat();
        self.netns.run("tc", &words)?;
        Ok(())
    }
}

fn config() -> Value {
    json!({"cniVersion": CNI_VERSION, "name": "bench-limit", "type": "bandwidth"})
}
