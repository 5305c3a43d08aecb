//! One way to limit what a pod receives.

use std::process::Command;

use anyhow::{Context as _, Result};
use plexus_agent::lab::command::run;
use plexus_agent::lab::{Pod, Runtime};
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
    /// `tc`, on this device of the host.
    Tbf(String),
}

/// A chained plugin and whom it limits.
pub(super) struct Plugin {
    pub(super) runtime: Runtime,
    pub(super) pod: Pod,
    /// What the main plugin answered.
    pub(super) result: Value,
    /// The device on which the plugin leaves a qdisc when it is deleted; it expects that the device goes too.
    pub(super) qdisc_left_on: Option<String>,
}

impl Limiter {
    /// Sets a limit where there is none; without a burst the plugin chooses one.
    pub(super) fn set(&self, rate: Rate, burst_bits: Option<u64>) -> Result<()> {
        match self {
            Self::Plugin(plugin) => {
                let mut config = config();
                config["ingressRate"] = json!(rate.bps);
                if let Some(bits) = burst_bits {
                    config["ingressBurst"] = json!(bits);
                }
                config["prevResult"] = plugin.result.clone();
                let outcome = plugin.runtime.add(&plugin.pod, IFNAME, &config)?;
                outcome.success().with_context(|| format!("cannot set a limit of {}", rate.label))?;
            }
            Self::Tbf(device) => {
                let rate = format!("{}bit", rate.bps);
                let burst = format!("{}b", burst_bits.unwrap_or_default() / 8);
                let tbf = ["root", "tbf", "rate", &rate, "burst", &burst, "latency", "25ms"];
                run(Command::new("tc").args(["qdisc", "add", "dev", device]).args(tbf))?;
            }
        }
        Ok(())
    }

    /// Takes the limit away.
    pub(super) fn clear(&self) -> Result<()> {
        let device = match self {
            Self::Plugin(plugin) => {
                let mut config = config();
                config["prevResult"] = plugin.result.clone();
                plugin
                    .runtime
                    .del(&plugin.pod, IFNAME, &config)?
                    .success()
                    .context("cannot take a limit away")?;
                plugin.qdisc_left_on.as_ref()
            }
            Self::Tbf(device) => Some(device),
        };
        if let Some(device) = device {
            run(Command::new("tc").args(["qdisc", "del", "dev", device, "root"]))?;
        }
        Ok(())
    }
}

fn config() -> Value {
    json!({"cniVersion": CNI_VERSION, "name": "bench-limit", "type": "bandwidth"})
}
