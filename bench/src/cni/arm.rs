//! One way to attach a macvlan.

use std::time::Duration;

use anyhow::{Context as _, Result};
use plexus_agent::lab::{Pod, Runtime};
use serde_json::Value;

/// The interface that every arm makes.
pub(super) const IFNAME: &str = "net1";

/// One way to attach a macvlan with an address to a pod and to detach it again.
pub(super) trait Arm {
    /// Its name in the report.
    fn name(&self) -> &'static str;
    /// Attaches, and tells how long that took.
    fn add(&mut self) -> Result<Duration>;
    /// Detaches, and tells how long that took.
    fn del(&mut self) -> Result<Duration>;
}

/// A CNI plugin, executed; the time is from before its start to after its end.
pub(super) struct PluginArm {
    name: &'static str,
    runtime: Runtime,
    pod: Pod,
    config: Value,
}

impl PluginArm {
    pub(super) fn new(name: &'static str, runtime: Runtime, pod: Pod, config: Value) -> Self {
        Self { name, runtime, pod, config }
    }
}

impl Arm for PluginArm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn add(&mut self) -> Result<Duration> {
        let outcome = self.runtime.add(&self.pod, IFNAME, &self.config)?;
        outcome.success().with_context(|| format!("arm {}: ADD failed", self.name))?;
        Ok(outcome.elapsed)
    }

    fn del(&mut self) -> Result<Duration> {
        let outcome = self.runtime.del(&self.pod, IFNAME, &self.config)?;
        outcome.success().with_context(|| format!("arm {}: DEL failed", self.name))?;
        Ok(outcome.elapsed)
    }
}
