//! The host with two pods for each arm.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use plexus_agent::lab::{Binaries, DaemonSetup, Host, Plexusd, Runtime};
use serde_json::{Value, json};

use super::arm::{Arm, CNI_VERSION, Device, Direction, Limiter, Plugin};
use crate::args::PoliceOptions;
use crate::packets::end::{End, host_device};
use crate::packets::wiring::{IFNAME, Place, bridge, quiet, take_live_frames, veth_pod};

/// Everything that the arms need; all of it ends with this value.
pub(super) struct Stage {
    // In this order: plexusd ends before its host.
    pub(super) arms: Vec<Arm>,
    _plexusd: Plexusd,
    _host: Host,
}

impl Stage {
    /// Sets everything up and starts plexusd.
    pub(super) fn build(options: &PoliceOptions) -> Result<Self> {
        let binaries = match &options.common.bin_dir {
            Some(dir) => Binaries::at(dir)?,
            None => Binaries::find()?,
        };
        let host = Host::enter()?;
        quiet()?;
        let plexusd = DaemonSetup::new(&host, &binaries).start()?;
        let shim = Runtime::new(&host, &binaries);
        let to_pod = Direction::ToPod;
        let plexus = by_plugins(&host, "plexus", [&shim, &shim], &main_plugin("fastpath", 1), to_pod)?;
        let standard = standard(&host, options, to_pod)?;
        let tbf = by_hand(&host)?;
        Ok(Self { arms: vec![plexus, standard, tbf], _plexusd: plexusd, _host: host })
    }

    /// Lets the generator in. After TCP is measured: GRO at these ends changes what TCP does.
    pub(super) fn take_live_frames(&self) -> Result<()> {
        self.arms.iter().try_for_each(|arm| take_live_frames(&arm.entry))
    }
}

/// Two pods on a bridge of the reference plugins, which limit the second one's traffic.
pub(super) fn standard(host: &Host, options: &PoliceOptions, direction: Direction) -> Result<Arm> {
    let [main, limit] = ["bridge", "bandwidth"].map(|name| reference(options, name));
    by_plugins(host, "standard", [&main?, &limit?], &main_plugin("bridge", 2), direction)
}

/// Two pods that `main` attaches; `limit` limits what the second one receives, or what the first one sends.
fn by_plugins(
    host: &Host,
    name: &'static str,
    [main, limit]: [&Runtime; 2],
    config: &Value,
    direction: Direction,
) -> Result<Arm> {
    let mut ends = Vec::new();
    for side in ["a", "b"] {
        let pod = host.pod(&format!("{name}-{side}"))?;
        let result = main.add(&pod, IFNAME, config)?.success();
        let result = result.with_context(|| format!("arm {name}: cannot attach pod {side}"))?;
        ends.push((End::of_result(&pod, IFNAME, &result)?, host_device(&result)?, pod, result));
    }
    let (to, exit, receiver, receivers) = ends.pop().context("two pods")?;
    let (from, entry, sender, senders) = ends.pop().context("two pods")?;
    let (device, pod, result) = match direction {
        Direction::ToPod => (exit, receiver, receivers),
        Direction::FromPod => (entry.clone(), sender, senders),
    };
    let qdisc_left_on = (name == "standard").then(|| Device { netns: host.netns().clone(), name: device });
    let plugin = Plugin { runtime: limit.clone(), pod, direction, result, qdisc_left_on };
    Ok(Arm { name, from, to, entry, limiter: Limiter::Plugin(Box::new(plugin)) })
}

/// Two pods on a bridge, made by iproute2.
fn by_hand(host: &Host) -> Result<Arm> {
    let from = veth_pod(host, "tbf-a", "tbf-a", Place(3, 2))?;
    let to = veth_pod(host, "tbf-b", "tbf-b", Place(3, 3))?;
    bridge("br-tbf", &[("tbf-a", &from), ("tbf-b", &to)])?;
    let device = Device { netns: host.netns().clone(), name: "tbf-b".into() };
    Ok(Arm { name: "tbf", from, to, entry: "tbf-a".into(), limiter: Limiter::Tbf(device) })
}

fn main_plugin(kind: &str, number: u8) -> Value {
    let mut config = json!({
        "cniVersion": CNI_VERSION,
        "name": format!("bench-{kind}"),
        "type": kind,
        "ipam": {"type": "host-local", "subnet": format!("10.{number}.0.0/24")},
    });
    if kind == "bridge" {
        config["bridge"] = json!("br-standard");
    }
    config
}

/// A reference plugin, executed directly as a container runtime does.
fn reference(options: &PoliceOptions, name: &str) -> Result<Runtime> {
    let path: PathBuf = options.reference_bin.join(name);
    ensure!(
        path.is_file(),
        "the reference plugin {} is missing: `apt-get install containernetworking-plugins`, or give --reference-bin",
        path.display()
    );
    Ok(Runtime::of_plugin(&path))
}
