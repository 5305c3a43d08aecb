//! A throw-away host for one side of a row: uplink0 leads to a machine outside, and there is one pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use plexus_agent::lab::command::run;
use plexus_agent::lab::skip::{require_binaries_or_skip, skipped};
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Plexusd, Pod, Runtime};

use super::row::Row;

/// Defaults of links that are made later: an IPv6 address holds at once. Duplicate address detection, and up to a second
/// that the kernel waits before it, would be most of what a row takes.
const WITHOUT_DETECTION: [&str; 2] = ["dad_transmits", "router_solicitation_delay"];

/// Before ADD: addresses of uplink0 and of the machine outside, which knows no way back to the pod.
const SETUP: [&str; 6] = [
    "ip addr add 192.0.2.1/24 dev uplink0",
    "ip addr add 2001:db8::1/64 dev uplink0 nodad",
    "outside: ip addr add 192.0.2.2/24 dev eth0",
    "outside: ip addr add 2001:db8::2/64 dev eth0 nodad",
    "ip route add default via 192.0.2.2",
    "ip route add default via 2001:db8::2",
];

/// Whose plugins are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Theirs,
}

/// What a comparison is made with.
pub(crate) struct Tools {
    pub(crate) binaries: Binaries,
    pub(crate) reference: PathBuf,
}

impl Tools {
    /// Both sets of plugins, unless something is missing: that is said loudly.
    pub(crate) fn find_or_skip(test: &str, plugin: &str) -> Option<Self> {
        let binaries = require_binaries_or_skip(test)?;
        let reference = std::env::var_os("CNI_REFERENCE_BIN").unwrap_or_else(|| "/usr/lib/cni".into());
        let reference = PathBuf::from(reference);
        if !reference.join(plugin).is_file() {
            skipped(
                test,
                &format!(
                    "{} has no plugin {plugin} (`apt-get install containernetworking-plugins`)",
                    reference.display()
                ),
            );
            return None;
        }
        Some(Self { binaries, reference })
    }
}

/// One side.
pub(crate) struct Place {
    whose: Whose,
    reference: PathBuf,
    shim: Runtime,
    // Before its host.
    pub(crate) plexusd: Option<Plexusd>,
    pub(crate) outside: NetNs,
    pub(crate) pod: Pod,
    pub(crate) host: Host,
}

impl Place {
    /// A host, prepared as the row says; with plexusd where it is ours.
    pub(crate) fn prepare(tools: &Tools, whose: Whose, row: &Row) -> Self {
        let host = Host::enter().unwrap();
        let outside = host.netns_named("outside").unwrap();
        let pod = host.pod("a").unwrap();
        [host.netns(), &outside, &pod.netns].into_iter().for_each(without_detection);
        host.cable("uplink0", &outside, "eth0").unwrap();
        let shim = Runtime::new(&host, &tools.binaries);
        let reference = tools.reference.clone();
        let mut place = Self { whose, reference, shim, plexusd: None, outside, pod, host };
        SETUP.iter().chain(&row.setup).for_each(|command| place.execute(command));
        if whose == Whose::Ours {
            let mut setup = DaemonSetup::new(&place.host, &tools.binaries);
            setup.bin_dir = tools.reference.display().to_string();
            place.plexusd = Some(setup.start().unwrap());
        }
        place
    }

    /// The runtime that calls a plugin of this type.
    pub(crate) fn runtime(&self, plugin_type: &str) -> Runtime {
        match self.whose {
            Whose::Ours => Runtime { path: self.reference.display().to_string(), ..self.shim.clone() },
            Whose::Theirs => Runtime::of_plugin(&self.reference.join(Path::new(plugin_type))),
        }
    }

    fn execute(&self, command: &str) {
        let (netns, words) = match command.split_once(": ") {
            Some(("pod", rest)) => (&self.pod.netns, rest),
            Some(("outside", rest)) => (&self.outside, rest),
            _ => (self.host.netns(), command),
        };
        let mut words = words.split_whitespace();
        let mut process = Process::new(words.next().unwrap());
        process.args(words);
        netns.within(|| run(&mut process)).unwrap().unwrap();
    }
}

fn without_detection(netns: &NetNs) {
    let write =
        |name: &&str| fs::write(Path::new("/proc/sys/net/ipv6/conf/default").join(name), "0").unwrap();
    netns.within(|| WITHOUT_DETECTION.iter().for_each(write)).unwrap();
}
