//! A virtual machine with plexusd on it.

use std::fs;
use std::path::PathBuf;

use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::vm::VirtualFunction;
use plexus_agent::lab::{DaemonSetup, Machine, Outcome, Plexusd, Pod, Runtime, require_machine_or_skip};
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::kernel::ip_json;

/// What a link has that changes by itself.
const VOLATILE: [&str; 8] =
    // igbvf of Linux 6.1 takes an address that its card refused for the one that it was built with.
    [
        "permaddr",
        "operstate",
        "flags",
        "stats",
        "stats64",
        "carrier_changes",
        "carrier_up_count",
        "carrier_down_count",
    ];

/// A node.
pub(crate) struct Node {
    // In this order: plexusd ends before its host.
    pub(crate) plexusd: Plexusd,
    pub(crate) runtime: Runtime,
    pub(crate) machine: Machine,
}

impl Node {
    /// A node, in a virtual machine only.
    pub(crate) fn start() -> Option<Self> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test of cards");
        if !require_machine_or_skip(test) {
            return None;
        }
        let binaries = require_binaries_or_skip(test)?;
        let machine = Machine::enter().unwrap();
        let plexusd = DaemonSetup::new(machine.host(), &binaries).start().unwrap();
        let runtime = Runtime::new(machine.host(), &binaries);
        Some(Self { plexusd, runtime, machine })
    }

    /// Virtual functions of a card.
    pub(crate) fn vfs(&self, card: usize, count: u32) -> Vec<VirtualFunction> {
        self.machine.cards()[card].make_vfs(count).unwrap()
    }

    /// The link of a card.
    pub(crate) fn card(&self, card: usize) -> &str {
        &self.machine.cards()[card].ifname
    }

    /// A pod `default/NAME`.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        self.machine.host().pod(name).unwrap()
    }

    /// `ip ARGUMENTS` on the host.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        self.machine.host().netns().ip(arguments).unwrap();
    }

    /// ADD as net1.
    pub(crate) fn add(&self, pod: &Pod, config: &Value) -> Outcome {
        self.runtime.add(pod, "net1", config).unwrap()
    }

    /// DEL of net1.
    pub(crate) fn del(&self, pod: &Pod, config: &Value) -> Outcome {
        self.runtime.del(pod, "net1", config).unwrap()
    }

    /// CHECK of net1.
    pub(crate) fn check(&self, pod: &Pod, config: &Value, result: &Value) -> Outcome {
        let mut config = config.clone();
        config["prevResult"] = result.clone();
        self.runtime.call(Command::Check, pod, "net1", &config).unwrap()
    }

    /// DEL of net1 of a container whose namespace is gone, and the name of whose it was.
    pub(crate) fn del_without_netns(&self, container_id: &str, config: &Value) -> Outcome {
        let environment = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", container_id),
            ("CNI_IFNAME", "net1"),
            ("CNI_PATH", &*self.runtime.path),
        ];
        self.runtime.execute(&environment, config.to_string().as_bytes()).unwrap()
    }

    /// All links of the host with their details and virtual functions, but for what changes by itself.
    pub(crate) fn links(&self) -> Vec<Value> {
        let mut links = ip_json(self.machine.host().netns(), &["-d", "link"]);
        for link in &mut links {
            let link = link.as_object_mut().unwrap();
            for key in VOLATILE {
                link.remove(key);
            }
        }
        links.sort_by_key(|link| link["ifindex"].as_u64());
        links
    }

    /// A virtual function as its card reports it.
    pub(crate) fn vf_info(&self, card: usize, index: u32) -> Value {
        let links = ip_json(self.machine.host().netns(), &["-d", "link", "show", "dev", self.card(card)]);
        let infos = links[0]["vfinfo_list"].as_array().unwrap();
        infos.iter().find(|info| info["vf"] == index).unwrap().clone()
    }

    /// Addresses that are reserved.
    pub(crate) fn leases(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.machine.host().leases_dir().join("vf")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("10.")).collect()
    }
}

/// A pod's namespace ends, as it does when its processes have and the runtime unbinds it.
pub(crate) fn end_netns(pod: Pod) -> String {
    pod.netns.clone().remove().unwrap();
    pod.container_id
}

/// A network of virtual functions with addresses of `10.6.0.0/24`.
pub(crate) fn sriov(vf: &VirtualFunction) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "vf", "type": "sriov", "deviceID": vf.pci_address,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]]},
    })
}

/// The config with keys of `more`.
pub(crate) fn with(mut config: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}
