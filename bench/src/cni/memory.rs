//! What plexusd keeps in memory for many pods.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::{Pod, Runtime};
use serde_json::Value;

use super::config;
use super::stage::Stage;
use crate::args::CniOptions;
use crate::report::Figures;
use crate::screen::Screen;

/// KiB of a MiB.
const KIB_PER_MIB: f64 = 1024.0;
/// The networks of a pod beside its default one.
const SECONDARY: [&str; 2] = ["bench-second", "bench-third"];

/// Attaches pods with three interfaces each, by single plugins and by the meta plugin, each on a fresh plexusd.
pub(super) fn measure(options: &CniOptions, screen: &Screen) -> Result<BTreeMap<String, Figures>> {
    let mut figures = BTreeMap::new();
    for (name, attach) in [
        ("agent_rss.single_plugins", attach_single as fn(&Stage, &Pod) -> Result<()>),
        ("agent_rss.meta_plugin", attach_meta),
    ] {
        let stage = Stage::build(options)?;
        let idle_kib = stage.plexusd.resident_kib()?;
        for (number, network) in SECONDARY.iter().enumerate() {
            let config = config::macvlan(network, 20 + u8::try_from(number)?);
            write_network(&stage.host.manifests_dir(), "default", network, &config)?;
        }
        let what =
            format!("{} pods of 3 interfaces by {}", options.pods, name.trim_start_matches("agent_rss."));
        let progress = screen.progress(&what, options.pods.into());
        for number in 0..options.pods {
            let pod = stage.host.pod(&format!("pod-{number}"))?;
            write_pod(&stage.host.manifests_dir(), &pod, &SECONDARY.join(", "))?;
            attach(&stage, &pod).with_context(|| format!("pod {number} of {}", options.pods))?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        figures.insert(name.to_owned(), one(stage.plexusd.resident_kib()?)?);
        figures.insert(format!("{name}_idle"), one(idle_kib)?);
    }
    Ok(figures)
}

fn one(kib: u64) -> Result<Figures> {
    let mut histogram = Histogram::<u64>::new(4).context("cannot make a histogram")?;
    histogram.record(kib).context("cannot record a sample")?;
    Ok(Figures::of(&histogram, "MiB", KIB_PER_MIB))
}

/// Three calls of single plugins, as podman or another meta plugin makes them.
fn attach_single(stage: &Stage, pod: &Pod) -> Result<()> {
    let networks = ["bench-first", SECONDARY[0], SECONDARY[1]];
    for (number, network) in networks.iter().enumerate() {
        let config = config::macvlan(network, 19 + u8::try_from(number)?);
        add(&stage.shim(), pod, &format!("net{number}"), &config)?;
    }
    Ok(())
}

/// One call of the meta plugin, which finds the other two networks in the manifests.
fn attach_meta(stage: &Stage, pod: &Pod) -> Result<()> {
    add(&stage.shim(), pod, "eth0", &config::meta(&stage.host, &config::macvlan("bench-first", 19)))
}

fn add(runtime: &Runtime, pod: &Pod, ifname: &str, config: &Value) -> Result<()> {
    let outcome = runtime.add(pod, ifname, config)?;
    outcome.success().with_context(|| format!("ADD of {ifname} failed"))?;
    Ok(())
}
