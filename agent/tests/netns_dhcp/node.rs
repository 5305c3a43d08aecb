//! A host with plexusd, and a machine outside with a DHCP server.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::{require_binaries_or_skip, require_binary_or_skip};
use plexus_agent::lab::{DaemonSetup, Host, NetNs, Outcome, Plexusd, Pod, Runtime};
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::server::Server;

/// What the server hands out, for its shortest lease.
pub(crate) const RANGE: &str = "10.88.0.10,10.88.0.50,255.255.255.0,2m";
/// As [`RANGE`], with addresses that the other has not.
pub(crate) const OTHER_RANGE: &str = "10.88.0.100,10.88.0.150,255.255.255.0,2m";
/// T1 and T2 of two and five seconds.
pub(crate) const SOON: [&str; 2] = ["--dhcp-option=option:T1,2s", "--dhcp-option=option:T2,5s"];

/// ```text
///  pod net1 ── uplink0 ═══ eth0 outside, 10.88.0.1, dnsmasq
/// ```
pub(crate) struct Node {
    // In this order: plexusd ends before its host.
    pub(crate) plexusd: Plexusd,
    pub(crate) runtime: Runtime,
    pub(crate) outside: NetNs,
    pub(crate) host: Host,
}

impl Node {
    pub(crate) fn start_or_skip() -> Option<Self> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a netns test");
        let binaries = require_binaries_or_skip(test)?;
        for (program, package) in [("dnsmasq", "dnsmasq-base"), ("ping", "iputils-ping")] {
            if !require_binary_or_skip(test, program, package) {
                return None;
            }
        }
        let host = Host::enter().unwrap();
        let outside = host.netns_named("outside").unwrap();
        host.cable("uplink0", &outside, "eth0").unwrap();
        outside.ip(&["addr", "add", "10.88.0.1/24", "dev", "eth0"]).unwrap();
        let plexusd = DaemonSetup::new(&host, &binaries).start().unwrap();
        Some(Self { plexusd, runtime: Runtime::new(&host, &binaries), outside, host })
    }

    /// A server outside.
    pub(crate) fn server(&self, options: &[&str]) -> Server {
        Server::start(&self.outside, "eth0", RANGE, options, self.host.dir().join("dnsmasq"))
    }

    /// Files of leases that plexusd keeps.
    pub(crate) fn lease_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.host.state_dir().join("dhcp")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn add(&self, pod: &Pod, ifname: &str, config: &Value) -> Value {
        self.runtime
            .add(pod, ifname, config)
            .unwrap()
            .success()
            .unwrap_or_else(|error| unreachable!("{error}\n{}", self.plexusd.log_tail()))
    }

    pub(crate) fn del(&self, pod: &Pod, ifname: &str, config: &Value) {
        self.runtime.del(pod, ifname, config).unwrap().success().unwrap();
    }

    pub(crate) fn check(&self, pod: &Pod, config: &Value, result: &Value) -> Outcome {
        let mut config = config.clone();
        config["prevResult"] = result.clone();
        self.runtime.call(Command::Check, pod, "net1", &config).unwrap()
    }
}

/// The uplink becomes a port of the bridge `br-test`.
pub(crate) fn bridge_the_uplink() {
    ip(&["link", "add", "br-test", "type", "bridge"]).unwrap();
    ip(&["link", "set", "br-test", "up"]).unwrap();
    ip(&["link", "set", "uplink0", "master", "br-test"]).unwrap();
}

/// A macvlan on the uplink, with these keys of `ipam`.
pub(crate) fn macvlan(ipam: &Value) -> Value {
    with(json!({"type": "macvlan", "master": "uplink0"}), ipam)
}

/// A network of this plugin's config, with these keys of `ipam`.
pub(crate) fn with(mut config: Value, ipam: &Value) -> Value {
    config["cniVersion"] = "1.1.0".into();
    config["name"] = "leased".into();
    config["ipam"] = ipam.clone();
    config["ipam"]["type"] = "dhcp".into();
    config
}

/// The address of a result, without its prefix.
pub(crate) fn address(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap().0.to_owned()
}

/// IPv4 addresses of an interface, with prefix.
pub(crate) fn addresses(netns: &NetNs, ifname: &str) -> Vec<String> {
    let output = netns.run("ip", &["-j", "-4", "address", "show", "dev", ifname]).unwrap().stdout;
    let shown: Value = serde_json::from_str(&output).unwrap();
    let all = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    all.iter().map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"])).collect()
}

/// Waits until it holds; false after `seconds`.
pub(crate) fn within(seconds: u64, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    holds()
}
