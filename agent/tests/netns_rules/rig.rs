//! The host of these tests.

use plexus_agent::lab::leftovers::Inventory;
use plexus_agent::lab::link::ip;
use plexus_agent::lab::manifests::write_pod;
use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::{DaemonSetup, Host, NetNs, Outcome, Plexusd, Pod, Runtime, require_binary_or_skip};
use plexus_cni::env::Command;
use serde_json::{Value, json};

/// A host with plexusd, and a machine outside that knows the pods' subnets.
pub(crate) struct Rig {
    // In this order: plexusd ends before its host.
    pub(crate) plexusd: Plexusd,
    pub(crate) runtime: Runtime,
    pub(crate) outside: NetNs,
    before: Inventory,
    pub(crate) host: Host,
}

impl Rig {
    /// A host, unless this machine cannot have one: that is said loudly.
    pub(crate) fn start() -> Option<Self> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a netns test");
        let binaries = require_binaries_or_skip(test)?;
        if !require_binary_or_skip(test, "nft", "nftables") {
            return None;
        }
        let host = Host::enter().unwrap();
        let outside = host.netns_named("outside").unwrap();
        host.cable("uplink0", &outside, "eth0").unwrap();
        for address in ["192.0.2.1/24", "192.0.2.3/24", "fd02::1/64"] {
            ip(&["addr", "add", address, "dev", "uplink0", "nodad"])
                .or_else(|_| ip(&["addr", "add", address, "dev", "uplink0"]))
                .unwrap();
        }
        for address in ["192.0.2.2/24", "fd02::2/64"] {
            outside
                .ip(&["addr", "add", address, "dev", "eth0", "nodad"])
                .or_else(|_| outside.ip(&["addr", "add", address, "dev", "eth0"]))
                .unwrap();
        }
        outside.ip(&["route", "add", "10.0.0.0/8", "via", "192.0.2.1"]).unwrap();
        outside.ip(&["route", "add", "fd77::/48", "via", "fd02::1"]).unwrap();
        ip(&["link", "set", "lo", "up"]).unwrap();
        let before = Inventory::take(&host).unwrap();
        let plexusd = DaemonSetup::new(&host, &binaries).start().unwrap();
        let runtime = Runtime::new(&host, &binaries);
        Some(Self { plexusd, runtime, outside, before, host })
    }

    /// A pod that plexusd knows.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        let pod = self.host.pod(name).unwrap();
        write_pod(&self.host.manifests_dir(), &pod, "").unwrap();
        pod
    }

    pub(crate) fn add(&self, pod: &Pod, config: &Value) -> Value {
        let result = self.runtime.add(pod, "eth0", config).unwrap().success().unwrap();
        self.wait_for_addresses();
        result
    }

    /// Until the kernel has looked for duplicates of the bridges' own addresses: before, the host asks for no neighbour.
    fn wait_for_addresses(&self) {
        for _ in 0..500 {
            let tentative =
                self.host.netns().run("ip", &["-6", "-o", "address", "show", "tentative"]).unwrap();
            if tentative.stdout.trim().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("addresses of the host stay tentative");
    }

    /// The error of an ADD that must fail.
    pub(crate) fn refused(&self, pod: &Pod, config: &Value) -> (u64, String) {
        let outcome = self.runtime.add(pod, "eth0", config).unwrap();
        (outcome.error_code().unwrap(), outcome.stdout)
    }

    pub(crate) fn del(&self, pod: &Pod, config: &Value) {
        self.runtime.del(pod, "eth0", config).unwrap().success().unwrap();
    }

    pub(crate) fn check(&self, pod: &Pod, config: &Value, result: &Value) -> Outcome {
        let mut config = config.clone();
        config["prevResult"] = result.clone();
        self.runtime.call(Command::Check, pod, "eth0", &config).unwrap()
    }

    /// What is left on the host beside the bridges, which outlive their attachments, and what plexusd uses again.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let since = Inventory::take(&self.host).unwrap().since(&self.before);
        let own = format!("process {} ", self.plexusd.pid());
        let is_ours = |text: &String| {
            text.starts_with("interface br-")
                || text.starts_with(&own)
                || (text.starts_with("pin ") && (text.contains("/maps/") || text.ends_with("/programs")))
        };
        since.iter().map(ToString::to_string).filter(|text| !is_ours(text)).collect()
    }
}

/// A default network on a bridge with both families, and these plugins behind it.
pub(crate) fn chain(bridge: &str, subnet: u8, more: &[Value], runtime_config: &Value) -> Value {
    let ranges = json!([
        [{"subnet": format!("10.{subnet}.0.0/24")}],
        [{"subnet": format!("fd77:0:0:{subnet}::/64")}],
    ]);
    let main = json!({
        "type": "bridge", "bridge": bridge, "isDefaultGateway": true,
        "hairpinMode": true, "ipam": {"type": "host-local", "ranges": ranges},
    });
    let plugins: Vec<Value> = std::iter::once(main).chain(more.iter().cloned()).collect();
    json!({
        "cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "runtimeConfig": runtime_config,
        "delegates": [{"cniVersion": "1.1.0", "name": bridge, "plugins": plugins}],
    })
}

/// The plugin `portmap` with these keys.
pub(crate) fn portmap(keys: Value) -> Value {
    let mut plugin = keys;
    plugin["type"] = json!("portmap");
    plugin["capabilities"] = json!({"portMappings": true});
    plugin
}

/// `nft ARGUMENTS` on the host.
pub(crate) fn nft(arguments: &[&str]) -> String {
    let output = std::process::Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
