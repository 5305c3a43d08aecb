//! What the kernel says, by iproute2: it must not be our own netlink code that confirms our netlink code.

use plexus_agent::lab::NetNs;
use serde_json::Value;

/// `ip -j ARGUMENTS` inside a namespace.
pub(crate) fn ip_json(netns: &NetNs, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["-j"], arguments].concat();
    let printed = netns.run("ip", &arguments).unwrap().stdout;
    if printed.trim().is_empty() {
        return Vec::new();
    }
    match serde_json::from_str(&printed).unwrap() {
        Value::Array(items) => items,
        other => panic!("ip {arguments:?} printed {other}"),
    }
}

/// The link of this name, with its details.
pub(crate) fn link(netns: &NetNs, ifname: &str) -> Option<Value> {
    ip_json(netns, &["-d", "link"]).into_iter().find(|link| link["ifname"] == ifname)
}

/// The addresses of a link with their prefix lengths; link-local ones are left out.
pub(crate) fn addresses(netns: &NetNs, ifname: &str) -> Vec<String> {
    let of_link = ip_json(netns, &["addr", "show", "dev", ifname]).into_iter();
    let infos = of_link.filter_map(|link| link["addr_info"].as_array().cloned()).flatten();
    infos
        .filter(|info| info["scope"] != "link")
        .map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"]))
        .collect()
}

/// The IPv4 routes of all tables but `local`.
pub(crate) fn routes(netns: &NetNs) -> Vec<Value> {
    let all = ip_json(netns, &["-d", "-4", "route", "show", "table", "all"]);
    all.into_iter().filter(|route| route["table"] != "local").collect()
}

/// The IPv4 default routes.
pub(crate) fn default_routes(netns: &NetNs) -> Vec<Value> {
    routes(netns).into_iter().filter(|route| route["dst"] == "default").collect()
}
