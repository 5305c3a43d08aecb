//! A node of a cluster: a throw-away host with an API server, plexusd, and a container runtime.

use std::fs;
use std::time::{Duration, Instant};

use plexus_agent::lab::apiserver::{self, ApiCall, require_assets_or_skip};
use plexus_agent::lab::leftovers::{Inventory, Kind};
use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::{DaemonSetup, Host, KubeApi, NetNs, Outcome, Plexusd, Pod, Runtime};
use serde_json::{Value, json};

/// The annotation that selects networks.
pub(crate) const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The annotation that plexusd writes.
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// What is not waited for by plexusd itself comes within this time; a status that nobody took is tried each 30 s.
const PATIENCE: Duration = Duration::from_mins(1);
const NADS: &str = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node with plexusd.
pub(crate) struct Node {
    // In this order: plexusd and the API server end before their host.
    pub(crate) plexusd: Plexusd,
    pub(crate) api: KubeApi,
    pub(crate) runtime: Runtime,
    _outside: NetNs,
    before: Inventory,
    /// What any network namespace has from its birth.
    pub(crate) plain: Vec<String>,
    pub(crate) host: Host,
}

impl Node {
    /// A node, unless this machine cannot have one: that is said loudly.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_, _| {})
    }

    /// A node whose API server holds something, and whose plexusd is started with a changed setup.
    pub(crate) fn start_with(change: impl FnOnce(&KubeApi, &mut DaemonSetup)) -> Option<Self> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("an API test");
        let binaries = require_binaries_or_skip(test)?;
        let assets = require_assets_or_skip(test)?;
        let host = Host::enter().unwrap();
        let plain = host.netns().interfaces().unwrap();
        let outside = host.netns_named("outside").unwrap();
        host.cable("uplink0", &outside, "eth0").unwrap();
        let api = KubeApi::start(&host, &assets).unwrap();
        let before = Inventory::take(&host).unwrap();
        let mut setup = DaemonSetup::new(&host, &binaries).of_cluster(&api);
        change(&api, &mut setup);
        let plexusd = setup.start().unwrap();
        let runtime = Runtime::new(&host, &binaries);
        Some(Self { plexusd, api, runtime, _outside: outside, before, plain, host })
    }

    /// Makes the NetworkAttachmentDefinition `default/NAME`.
    pub(crate) fn network(&self, name: &str, config: &Value) {
        self.api.admin.create(&apiserver::network("default", name, config)).unwrap();
    }

    /// Replaces the config of `default/NAME`.
    pub(crate) fn change_network(&self, name: &str, config: &Value) {
        let change = json!({"spec": {"config": config.to_string()}});
        self.api.admin.patch(NADS, name, "", &change).unwrap();
    }

    /// Makes the pod `default/NAME` that selects these networks.
    pub(crate) fn pod(&self, name: &str, networks: &str) -> Pod {
        self.annotated_pod(name, &json!({NETWORKS: networks}))
    }

    /// Makes the pod `default/NAME` with these annotations; its UID is the API server's.
    pub(crate) fn annotated_pod(&self, name: &str, annotations: &Value) -> Pod {
        let made = self.api.admin.create(&apiserver::pod("default", name, annotations)).unwrap();
        let mut pod = self.host.pod(name).unwrap();
        made["metadata"]["uid"].as_str().unwrap().clone_into(&mut pod.uid);
        pod
    }

    /// Deletes the pod at once.
    pub(crate) fn delete_pod(&self, name: &str) {
        self.api.admin.delete(PODS, name).unwrap();
    }

    /// ADD of eth0.
    pub(crate) fn add(&self, pod: &Pod, config: &Value) -> Outcome {
        self.runtime.add(pod, "eth0", config).unwrap()
    }

    /// ADD of eth0 that must work.
    pub(crate) fn added(&self, pod: &Pod, config: &Value) -> Value {
        self.add(pod, config)
            .success()
            .unwrap_or_else(|error| panic!("{error}; the log of plexusd ends:\n{}", self.plexusd.log_tail()))
    }

    /// DEL of eth0, which must work.
    pub(crate) fn deleted(&self, pod: &Pod, config: &Value) {
        self.runtime.del(pod, "eth0", config).unwrap().success().unwrap();
    }

    /// What an ADD of eth0 says that must fail.
    #[track_caller]
    pub(crate) fn refused(&self, pod: &Pod, config: &Value) -> String {
        let outcome = self.add(pod, config);
        assert!(outcome.code != 0, "ADD succeeded: {}", outcome.stdout);
        let error = outcome.json().unwrap();
        format!("{}: {}", error["msg"].as_str().unwrap(), error["details"].as_str().unwrap_or_default())
    }

    /// The pod's network-status as it is now.
    pub(crate) fn status(&self, pod: &str) -> String {
        self.api.admin.annotation("default", pod, STATUS).unwrap()
    }

    /// The pod's network-status once it is as wanted.
    pub(crate) fn status_when(&self, pod: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.when("network-status", || self.status(pod), |status: &String| wanted(status))
    }

    /// The pod's events, as `type reason message`, once they are as wanted.
    pub(crate) fn events_when(&self, pod: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let events = || self.api.admin.events("default", pod).unwrap();
        self.when("the events", events, |events: &Vec<String>| wanted(events))
    }

    /// Looks again and again until it is as wanted.
    fn when<T: std::fmt::Debug>(&self, what: &str, look: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = look();
            if wanted(&seen) {
                return seen;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: still {seen:?}; the log of plexusd ends:\n{}",
                self.plexusd.log_tail()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The answers of the API server to plexusd since there were `earlier` of them.
    pub(crate) fn calls_since(&self, earlier: usize) -> Vec<ApiCall> {
        self.api.calls().unwrap().split_off(earlier)
    }

    /// Neither links nor addresses of any network are left, but for the bridge, which outlives its attachments.
    #[track_caller]
    pub(crate) fn assert_nothing_attached(&self, pod: &Pod) {
        assert_eq!(pod.netns.interfaces().unwrap(), self.plain, "in the pod");
        let now = Inventory::take(&self.host).unwrap();
        let left = now.since(&self.before).into_iter();
        let links = left.filter(|thing| thing.kind == Kind::Interface && thing.name != "cni0");
        assert_eq!(links.map(|link| link.name).collect::<Vec<_>>(), Vec::<String>::new(), "on the host");
        let networks = fs::read_dir(self.host.leases_dir()).unwrap();
        for network in networks.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            assert_eq!(self.leases(&network), 0, "addresses of {network}");
        }
    }

    /// Addresses reserved on a network.
    pub(crate) fn leases(&self, network: &str) -> usize {
        let Ok(entries) = fs::read_dir(self.host.leases_dir().join(network)) else { return 0 };
        entries
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
                name.parse::<std::net::IpAddr>().is_ok()
            })
            .count()
    }
}

/// A macvlan on uplink0 whose addresses are `10.NET.0.0/16`.
pub(crate) fn macvlan(name: &str, net: u8) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "uplink0",
        "ipam": {"type": "host-local", "subnet": format!("10.{net}.0.0/16")},
    })
}

/// The meta-plugin with a bridge as default network.
pub(crate) fn meta() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "plexus", "type": "plexus",
        "delegates": [{
            "cniVersion": "1.0.0", "name": "lab",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.201.0.0/16"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        }],
    })
}
