//! TCP from a pod whose limit makes packets wait: how much of the rate it gets, and how long small packets wait beside it.
//!
//! ```text
//!   plexus     macvlan, chained `bandwidth`: departure times in eBPF, fq on the pod's device
//!   standard   the CNI project's bridge and bandwidth plugins: tbf on an ifb device
//!   tbf        a macvlan with tbf as an administrator would set it
//! ```
//! Only where the kernel has fq.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use plexus_agent::lab::traffic::tcp::transfer;
use plexus_agent::lab::{Binaries, DaemonSetup, Host, Plexusd, Runtime};
use plexus_cni::wire::Query;
use serde_json::json;

use super::arm::{Arm, CNI_VERSION, Device, Direction, Limiter, Plugin};
use super::rate::{Rate, SHAPED, SHAPED_LATENCY};
use super::stage::standard;
use super::tcp::beside_tcp;
use crate::args::PoliceOptions;
use crate::packets::end::End;
use crate::packets::wiring::{IFNAME, Place, macvlan_pod, quiet, uplink};
use crate::report::Figures;
use crate::screen::Screen;

/// How the names of its arms begin.
pub(super) const GOODPUT: &str = "tcp_goodput_shaped";
pub(super) const LATENCY: &str = "latency_shaped";
pub(super) const LOST: &str = "lost_shaped";
/// Where receivers listen: a new port each time, because connections of the one before linger.
const FIRST_PORT: u16 = 5600;
/// Payload and whole of a full TCP frame with timestamps, in bytes, without FCS.
const FULL_FRAME: (f64, f64) = (1448.0, 1514.0);
/// The machine outside, and the pod that tbf limits.
const OUTSIDE: Place = Place(4, 254);
const BY_HAND: Place = Place(4, 253);

/// Three pods with a limit on what they send.
struct Stage {
    // In this order: plexusd ends before its host.
    arms: Vec<Arm>,
    plexusd: Plexusd,
    _host: Host,
}

/// The figures of every arm, or why this machine does not shape.
pub(super) fn measure(
    options: &PoliceOptions,
    screen: &Screen,
) -> Result<Result<BTreeMap<String, Figures>, String>> {
    let stage = Stage::build(options)?;
    if let Some(why) = stage.why_not()? {
        return Ok(Err(why));
    }
    let steps = options.rounds as usize * stage.arms.len() * (SHAPED.len() + 1);
    let progress = screen.progress("TCP through the shaper", steps as u64);
    let mut goodput = BTreeMap::<String, Vec<f64>>::new();
    let mut waits = BTreeMap::<&str, (Histogram<u64>, Vec<f64>)>::new();
    let mut port = FIRST_PORT;
    for _ in 0..options.rounds {
        for rate in SHAPED {
            for arm in &stage.arms {
                port += 1;
                let percent = limited(arm, rate, || goodput_percent(arm, port, options.duration(), rate))?;
                goodput.entry(format!("{GOODPUT}.{}.{}", arm.name, rate.label)).or_default().push(percent);
                progress.inc(1);
            }
        }
        for arm in &stage.arms {
            port += 1;
            let seen = limited(arm, SHAPED_LATENCY, || beside_tcp(arm, port, options.duration()))?;
            let entry = waits.entry(arm.name).or_insert((Histogram::new(3)?, Vec::new()));
            entry.1.push(seen.lost_percent());
            entry.0.add(seen.nanoseconds).context("cannot add samples")?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let mut figures = BTreeMap::new();
    for (name, samples) in goodput {
        figures.extend(Figures::of_rounds(&samples, "% of the possible").map(|it| (name, it)));
    }
    for (name, (nanoseconds, lost)) in waits {
        let key = |what: &str| format!("{what}.{name}.{}", SHAPED_LATENCY.label);
        figures.insert(key(LATENCY), Figures::of_events(&nanoseconds, "us", 1e3));
        figures.extend(Figures::of_rounds(&lost, "% lost").map(|it| (key(LOST), it)));
    }
    Ok(Ok(figures))
}

/// Does `work` while the arm is limited.
fn limited<T>(arm: &Arm, rate: Rate, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let of = || format!("arm {} at {}", arm.name, rate.label);
    arm.limiter.set(rate, Some(rate.shaped_burst_bits())).with_context(of)?;
    let outcome = work().with_context(of)?;
    arm.limiter.clear().with_context(of)?;
    Ok(outcome)
}

/// Payload, less the burst, in percent of what full frames at the rate carry.
fn goodput_percent(arm: &Arm, port: u16, duration: Duration, rate: Rate) -> Result<f64> {
    let moved = transfer(&arm.from.netns, &arm.to.netns, arm.to.at(port), duration)?;
    #[expect(clippy::cast_precision_loss, reason = "bits of an hour are far below 2^53")]
    let [bits, limit] =
        [(moved.bytes * 8).saturating_sub(rate.shaped_burst_bits()), rate.bps].map(|count| count as f64);
    Ok(100.0 * bits / moved.elapsed.as_secs_f64() / (limit * FULL_FRAME.0 / FULL_FRAME.1))
}

impl Stage {
    fn build(options: &PoliceOptions) -> Result<Self> {
        let binaries = match &options.common.bin_dir {
            Some(dir) => Binaries::at(dir)?,
            None => Binaries::find()?,
        };
        let host = Host::enter()?;
        quiet()?;
        let outside = uplink(&host, &host.netns_named("outside")?, "nic0", "wire0", OUTSIDE)?;
        outside.netns.ip(&["addr", "add", &format!("{}/24", outside.ip), "dev", "wire0"])?;
        let plexusd = DaemonSetup::new(&host, &binaries).start()?;
        let plexus = plexus(&host, &Runtime::new(&host, &binaries), &outside)?;
        let standard = standard(&host, options, Direction::FromPod)?;
        let from = macvlan_pod(&host, "tbf", "nic0", BY_HAND)?;
        let limiter = Limiter::Tbf(Device { netns: from.netns.clone(), name: IFNAME.into() });
        let tbf = Arm { name: "tbf", from, to: outside, entry: "nic0".into(), limiter };
        Ok(Self { arms: vec![plexus, standard, tbf], plexusd, _host: host })
    }

    /// Why plexusd polices here what it is to shape, if so.
    fn why_not(&self) -> Result<Option<String>> {
        let plexus = self.arms.first().context("an arm of Plexus")?;
        let egress =
            limited(plexus, SHAPED_LATENCY, || Ok(self.plexusd.ask(&Query::Ports)?[0]["egress"].clone()))?;
        let is_shaped = egress["mode"] == "shaped";
        let why = egress["why"].as_str().unwrap_or("plexusd does not say why");
        Ok((!is_shaped).then(|| why.to_owned()))
    }
}

/// A macvlan pod that plexusd attaches and limits.
fn plexus(host: &Host, runtime: &Runtime, outside: &End) -> Result<Arm> {
    let pod = host.pod("shaped")?;
    let main = json!({
        "cniVersion": CNI_VERSION, "name": "bench-macvlan", "type": "macvlan", "master": "nic0",
        "ipam": {"type": "host-local", "subnet": "10.4.0.0/24"},
    });
    let result = runtime.add(&pod, IFNAME, &main)?.success().context("cannot attach the macvlan pod")?;
    let from = End::of_result(&pod, IFNAME, &result)?;
    let (runtime, direction) = (runtime.clone(), Direction::FromPod);
    let plugin = Plugin { runtime, pod, direction, result, qdisc_left_on: None };
    let limiter = Limiter::Plugin(Box::new(plugin));
    Ok(Arm { name: "plexus", from, to: outside.clone(), entry: "nic0".into(), limiter })
}
