//! ADD: both pods through the shim, as a container runtime would.

use std::fs;

use anyhow::{Context as _, Result};
use plexus_agent::lab::Pod;
use serde_json::Value;

use super::agent;
use super::report::{DemoReport, InterfaceReport, PodReport};
use super::stage::Stage;
use crate::screen::{Screen, table};

/// The interface that the runtime asks for.
pub(super) const IFNAME: &str = "eth0";
/// The pods of deploy/examples and how many interfaces each must get.
const PODS: [(&str, usize); 2] = [("pod-a", 3), ("pod-b", 2)];
/// A pod on the network "lan", and what `tuning`, a plugin that Plexus executes, sets in its namespace.
const TUNED: (&str, &str, &str) = ("pod-a", "/proc/sys/net/ipv4/tcp_keepalive_time", "600");

/// A pod with its interfaces.
pub(super) struct Attached {
    pub(super) pod: Pod,
    pub(super) interfaces: Vec<InterfaceReport>,
}

/// Adds every pod and compares what the agent says with what the kernel has.
pub(super) fn pods(stage: &Stage, screen: &mut Screen, report: &mut DemoReport) -> Result<Vec<Attached>> {
    screen.heading("ADD");
    let mut attached = Vec::new();
    for (name, expected) in PODS {
        let pod = stage.host.pod(name)?;
        let outcome = stage.runtime.add(&pod, IFNAME, &stage.config)?;
        outcome.success().with_context(|| format!("ADD of {name}"))?;
        let full_name = format!("{}/{name}", pod.namespace);
        let interfaces: Vec<_> = agent::interfaces(stage, &full_name)?.iter().map(interface).collect();
        let in_kernel = pod.netns.interfaces()?;
        let all_there = interfaces.iter().all(|one| in_kernel.contains(&one.name));
        let add_ms = outcome.elapsed.as_secs_f64() * 1e3;
        let names: Vec<_> = interfaces.iter().map(|one| one.name.as_str()).collect();
        screen.expect(
            all_there && interfaces.len() == expected,
            &format!("{name} has {expected} interfaces"),
            &format!("{} in {add_ms:.1} ms", names.join(", ")),
        );
        report.pods.push(PodReport {
            name: name.into(),
            namespace: pod.namespace.clone(),
            add_ms,
            interfaces: interfaces.clone(),
        });
        attached.push(Attached { pod, interfaces });
    }
    tuned(&attached, screen)?;
    let rows = attached.iter().flat_map(|one| {
        one.interfaces.iter().map(|interface| {
            vec![
                one.pod.name.clone(),
                interface.name.clone(),
                interface.network.clone(),
                interface.ips.join(", "),
                interface.mac.clone(),
            ]
        })
    });
    screen.block(&table(&["pod", "interface", "network", "addresses", "mac"], rows));
    Ok(attached)
}

/// Looks for the trace of the executed plugin.
fn tuned(attached: &[Attached], screen: &mut Screen) -> Result<()> {
    let (name, path, wanted) = TUNED;
    let one = attached.iter().find(|one| one.pod.name == name).with_context(|| format!("no pod {name}"))?;
    let value = one.pod.netns.within(|| fs::read_to_string(path))?;
    let value = value.with_context(|| format!("cannot read {path} in {name}"))?;
    screen.expect(
        value.trim() == wanted,
        &format!("the chained plugin tuning has set a sysctl in {name}"),
        &format!("{path}: {}", value.trim()),
    );
    Ok(())
}

fn interface(row: &Value) -> InterfaceReport {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let without_length = |ip: &Value| ip.as_str().map(|ip| ip.split('/').next().unwrap_or(ip).to_owned());
    InterfaceReport {
        name: text("name"),
        network: text("network"),
        ips: agent::rows(&row["ips"]).filter_map(without_length).collect(),
        mac: text("mac"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reported_without_their_prefix_length() {
        let row = serde_json::json!({"name": "net1", "network": "n", "ips": ["10.0.0.2/24", "fd00::2/64"], "mac": "m"});
        assert_eq!(interface(&row).ips, ["10.0.0.2", "fd00::2"]);
    }
}
