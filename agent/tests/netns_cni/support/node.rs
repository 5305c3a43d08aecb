//! One node: a throw-away host with two uplinks, plexusd on it, and a container runtime.

use std::fs;
use std::path::PathBuf;

use plexus_agent::lab::leftovers::{Inventory, Kind};
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Outcome, Plexusd, Pod, Runtime};
use plexus_cni::env::Command;
use plexus_cni::wire::Query;
use serde_json::Value;

use super::kernel::ip_json;
use super::plugin::Script;

/// A node with plexusd.
pub(crate) struct Node {
    // In this order: plexusd ends before its host.
    pub(crate) plexusd: Plexusd,
    pub(crate) runtime: Runtime,
    pub(crate) outside: NetNs,
    /// What any namespace has from its birth.
    plain: Vec<String>,
    stations: Vec<Value>,
    before: Inventory,
    pub(crate) binaries: Binaries,
    pub(crate) host: Host,
}

impl Node {
    /// A node, unless this machine cannot have one: that is said loudly.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// A node whose plexusd is started with a changed setup.
    pub(crate) fn start_with(change: impl FnOnce(&mut DaemonSetup)) -> Option<Self> {
        let thread = std::thread::current();
        let binaries = require_binaries_or_skip(thread.name().unwrap_or("a netns test"))?;
        let host = Host::enter().unwrap();
        let plain = host.netns().interfaces().unwrap();
        let outside = host.netns_named("outside").unwrap();
        host.cable("uplink0", &outside, "eth0").unwrap();
        host.cable("uplink1", &outside, "eth1").unwrap();
        fs::create_dir(plugins_dir(&host)).unwrap();
        let (before, stations) = (Inventory::take(&host).unwrap(), stations(&host));
        let mut setup = DaemonSetup::new(&host, &binaries);
        setup.bin_dir = format!("{}:{}", plugins_dir(&host).display(), reference_plugins());
        change(&mut setup);
        let plexusd = setup.start().unwrap();
        let runtime = Runtime::new(&host, &binaries);
        Some(Self { plexusd, runtime, outside, plain, stations, before, binaries, host })
    }

    /// A pod `default/NAME` with a namespace; it has no manifest.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        self.host.pod(name).unwrap()
    }

    /// A pod with a manifest that selects these networks, known to plexusd.
    pub(crate) fn known_pod(&self, name: &str, networks: &str) -> Pod {
        let pod = self.pod(name);
        write_pod(&self.host.manifests_dir(), &pod, networks).unwrap();
        pod
    }

    /// Writes the NetworkAttachmentDefinition `default/NAME`.
    pub(crate) fn network(&self, name: &str, config: &Value) {
        write_network(&self.host.manifests_dir(), "default", name, config).unwrap();
    }

    /// Writes a foreign plugin.
    pub(crate) fn plugin(&self, name: &str, body: &str) -> Script {
        Script::write(&plugins_dir(&self.host), name, body)
    }

    /// The directory of foreign plugins.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        plugins_dir(&self.host)
    }

    /// ADD.
    pub(crate) fn add(&self, pod: &Pod, ifname: &str, config: &Value) -> Outcome {
        self.runtime.add(pod, ifname, config).unwrap()
    }

    /// DEL.
    pub(crate) fn del(&self, pod: &Pod, ifname: &str, config: &Value) -> Outcome {
        self.runtime.del(pod, ifname, config).unwrap()
    }

    /// CHECK with the result of the ADD.
    pub(crate) fn check(&self, pod: &Pod, ifname: &str, config: &Value, result: &Value) -> Outcome {
        let config = super::with(config.clone(), "prevResult", result.clone());
        self.runtime.call(Command::Check, pod, ifname, &config).unwrap()
    }

    /// GC or STATUS.
    pub(crate) fn ask(&self, command: Command, config: &Value) -> Outcome {
        let environment = [("CNI_COMMAND", command.as_str()), ("CNI_PATH", &self.runtime.path)];
        self.runtime.execute(&environment, config.to_string().as_bytes()).unwrap()
    }

    /// plexusd's answer to a question.
    pub(crate) fn query(&self, query: &Query) -> Value {
        self.plexusd.ask(query).unwrap()
    }

    /// The addresses that are reserved on a network, sorted.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.host.leases_dir().join(network)) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut leases: Vec<String> = names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect();
        leases.sort();
        leases
    }

    /// What is left on the host that was not there before plexusd: links, stations, leases, pins, records, spooled
    /// DELs, processes, packet filter tables. What the next plexusd uses
    /// again does not count: empty maps, the bridge.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let since = Inventory::take(&self.host).unwrap().since(&self.before).into_iter();
        let own = format!("{} ", self.plexusd.pid());
        let of_the_node = |kind: Kind, name: &str| match kind {
            Kind::Pin => name.contains("/maps/") || name.ends_with("/programs"),
            // The reference's contract: a bridge outlives its attachments.
            Kind::Interface => name == "cni0",
            Kind::Process => name.starts_with(&own),
            _ => false,
        };
        let left = since.filter(|thing| !of_the_node(thing.kind, &thing.name));
        let mut left: Vec<String> = left.map(|thing| thing.to_string()).collect();
        let stations = stations(&self.host).into_iter();
        left.extend(stations.filter(|one| !self.stations.contains(one)).map(|one| format!("station {one}")));
        left
    }

    /// Interfaces that any namespace has from its birth.
    pub(crate) fn plain_interfaces(&self) -> &[String] {
        &self.plain
    }

    /// Nothing is left, neither on the host nor in these pods.
    #[track_caller]
    pub(crate) fn assert_clean(&self, pods: &[&Pod]) {
        assert_eq!(self.leftovers(), Vec::<String>::new(), "plexusd says:\n{}", self.plexusd.log_tail());
        for pod in pods {
            assert_eq!(pod.netns.interfaces().unwrap(), self.plain, "in pod {}", pod.name);
        }
    }
}

fn plugins_dir(host: &Host) -> PathBuf {
    host.dir().join("plugins")
}

/// The standard plugins of another implementation.
fn reference_plugins() -> String {
    std::env::var("CNI_REFERENCE_BIN").unwrap_or_else(|_| "/usr/lib/cni".into())
}

/// Hardware addresses of stations that uplink0 listens to beside its own. Groups come and go with the kernel's own
/// IPv6 addresses, some time after the link came up.
fn stations(host: &Host) -> Vec<Value> {
    let printed = host.netns().run("bridge", &["-j", "fdb", "show", "dev", "uplink0"]).unwrap().stdout;
    let own = ip_json(host.netns(), &["link", "show", "dev", "uplink0"])[0]["address"].clone();
    let all: Vec<Value> = serde_json::from_str(printed.trim()).unwrap_or_default();
    let is_group =
        |mac: &Value| mac.as_str().is_some_and(|mac| mac.starts_with("33:33") || mac.starts_with("01:"));
    all.into_iter().filter(|entry| entry["mac"] != own && !is_group(&entry["mac"])).collect()
}
