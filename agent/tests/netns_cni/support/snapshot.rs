//! Everything that a call may change, as text that can be compared.

use std::fs;
use std::path::Path;

use plexus_agent::lab::{Host, Pod};
use serde_json::{Value, json};

use super::kernel::{ip_json, routes};

/// What a link has that changes only when somebody changes it; flags follow the carrier a moment later.
const LINK_KEYS: [&str; 6] = ["ifindex", "ifname", "address", "mtu", "link", "linkinfo"];

/// The pods' links, addresses and routes; leases and records.
pub(crate) fn take(host: &Host, pods: &[&Pod]) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in pods {
        let netns = &pod.netns;
        for mut link in ip_json(netns, &["-d", "-4", "addr"]) {
            let kept: Value = LINK_KEYS.iter().map(|key| ((*key).to_owned(), link[*key].take())).collect();
            lines.push(format!("{} {kept} {}", pod.name, link["addr_info"]));
        }
        lines.push(format!("{} {}", pod.name, json!(routes(netns))));
    }
    files(&host.leases_dir(), &mut lines);
    files(&host.state_dir(), &mut lines);
    lines
}

fn files(dir: &Path, lines: &mut Vec<String>) {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, lines);
        } else {
            lines.push(format!("{} {}", path.display(), fs::read_to_string(&path).unwrap()));
        }
    }
}
