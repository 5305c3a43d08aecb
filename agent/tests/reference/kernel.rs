//! What the kernel says of one namespace, by iproute2 and procfs: our netlink code must not confirm itself.

use std::fs;
use std::path::Path;

use plexus_agent::lab::NetNs;
use serde_json::{Map, Value, json};

/// Of a link. What counts time, follows the carrier a moment later, or is a hash of an address, is left out; so are
/// indexes.
const LINK_KEYS: [&str; 16] = [
    "flags",
    "mtu",
    "qdisc",
    "group",
    "txqlen",
    "address",
    "promiscuity",
    "allmulti",
    "linkinfo",
    "num_tx_queues",
    "num_rx_queues",
    "inet6_addr_gen_mode",
    "altnames",
    "ifalias",
    "master",
    "link",
];
/// Flags that follow the carrier.
const CARRIER_FLAGS: [&str; 3] = ["LOWER_UP", "NO-CARRIER", "M-DOWN"];
/// Of an address.
const ADDRESS_KEYS: [&str; 9] = [
    "scope",
    "broadcast",
    "label",
    "dynamic",
    "nodad",
    "noprefixroute",
    "secondary",
    "deprecated",
    "address",
];
/// Of a route, beside what names it.
const ROUTE_KEYS: [&str; 5] = ["protocol", "scope", "prefsrc", "metric", "metrics"];
/// Sysctls: all of an interface, and the global ones of these names.
const SYSCTL_DIRS: [&str; 4] = ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"];
const SYSCTL_FILES: [&str; 3] = ["ipv4/ip_forward", "core/somaxconn", "ipv4/ip_local_port_range"];

/// Runs a command inside that prints JSON; nothing printed is an empty list.
fn json_of(netns: &NetNs, program: &str, arguments: &[&str]) -> Vec<Map<String, Value>> {
    let printed = netns.run(program, arguments).unwrap().stdout;
    // iproute2 puts an empty object where it leaves something out.
    let items: Vec<Value> =
        if printed.trim().is_empty() { Vec::new() } else { serde_json::from_str(printed.trim()).unwrap() };
    let objects = items.into_iter().filter_map(|item| item.as_object().cloned());
    objects.filter(|object| !object.is_empty()).collect()
}

fn keep(object: &Map<String, Value>, keys: &[&str]) -> Value {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), object.get(*key)?.clone()))).collect()
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// All links with their addresses. One process says all of it, because two may tell of two moments.
pub(crate) fn described(netns: &NetNs) -> Vec<Map<String, Value>> {
    json_of(netns, "ip", &["-j", "-d", "addr"])
}

/// Links by name.
pub(crate) fn links(described: &[Map<String, Value>]) -> Value {
    let links = described.iter().map(|link| {
        let mut kept = keep(link, &LINK_KEYS);
        if let Some(flags) = kept["flags"].as_array() {
            let set = flags.iter().filter_map(Value::as_str).filter(|flag| !CARRIER_FLAGS.contains(flag));
            kept["flags"] = set.map(|flag| (flag.to_owned(), json!(true))).collect();
        }
        for data in ["info_data", "info_slave_data"] {
            let Some(data) = kept["linkinfo"].get_mut(data).and_then(Value::as_object_mut) else { continue };
            let is_chance = |key: &str| {
                let words = ["timer", "_id", "designated", "topology", "state"];
                words.iter().any(|word| key.contains(word))
            };
            data.retain(|key, _| !is_chance(key));
        }
        (text(link, "ifname").to_owned(), kept)
    });
    links.collect()
}

/// Of one link; iproute2 puts an empty object where it leaves something out.
fn addresses_of(link: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let addresses = link.get("addr_info").and_then(Value::as_array).into_iter().flatten();
    addresses.filter_map(Value::as_object).filter(|address| !address.is_empty())
}

/// A link-local address follows from a hardware address that the link has or had.
fn without_chance(address: &str) -> &str {
    let is_link_local = address.starts_with("fe80::") && !address.contains('/');
    if is_link_local { "<link-local>" } else { address }
}

/// Addresses by interface and prefix.
pub(crate) fn addresses(described: &[Map<String, Value>]) -> Value {
    let mut found = Map::new();
    for link in described {
        for address in addresses_of(link) {
            let local = without_chance(text(address, "local"));
            let prefix = format!("{local}|{}", address["prefixlen"]);
            found.insert(format!("{} {prefix}", text(link, "ifname")), keep(address, &ADDRESS_KEYS));
        }
    }
    Value::Object(found)
}

/// Whether a link has carrier, and no IPv6 address yet although it makes itself one.
pub(crate) fn awaits_link_local(described: &[Map<String, Value>]) -> bool {
    described.iter().any(|link| {
        let has =
            |flag: &str| link["flags"].as_array().is_some_and(|flags| flags.iter().any(|own| own == flag));
        has("LOWER_UP")
            && !has("LOOPBACK")
            && !has("NOARP")
            && text(link, "inet6_addr_gen_mode") == "eui64"
            && !addresses_of(link).any(|address| text(address, "local").starts_with("fe80::"))
    })
}

/// Whether an address of the namespace is still being looked for elsewhere.
pub(crate) fn is_tentative(described: &[Map<String, Value>]) -> bool {
    described.iter().flat_map(addresses_of).any(|address| address.contains_key("tentative"))
}

/// Routes by table, destination, gateway and device; those of table `local` follow from the addresses.
pub(crate) fn routes(netns: &NetNs) -> Value {
    let families = ["-4", "-6"].into_iter();
    let all = families
        .flat_map(|family| json_of(netns, "ip", &["-j", "-d", family, "route", "show", "table", "all"]));
    let named = all.filter(|route| text(route, "table") != "local").map(|route| {
        let table = Some(text(&route, "table")).filter(|table| !table.is_empty()).unwrap_or("main");
        let mut name =
            format!("table {table} {} {}", text(&route, "type"), without_chance(text(&route, "dst")));
        for (word, key) in [("via", "gateway"), ("dev", "dev")] {
            if let Some(value) = route.get(key).and_then(Value::as_str) {
                name = format!("{name} {word} {value}");
            }
        }
        let mut kept = keep(&route, &ROUTE_KEYS);
        let flags = route.get("flags").and_then(Value::as_array).into_iter().flatten();
        kept["onlink"] = flags.into_iter().any(|flag| flag == "onlink").into();
        (name.replace('/', "|"), kept)
    });
    named.collect()
}

/// Policy rules of both families.
pub(crate) fn rules(netns: &NetNs) -> Value {
    let families = ["-4", "-6"].into_iter();
    let shown = families.map(|family| {
        let printed = netns.run("ip", &[family, "rule"]).unwrap().stdout;
        let rules = printed.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.join(" ").replace('/', "|"), json!(true))
        });
        (family.trim_start_matches('-').to_owned(), rules.collect::<Value>())
    });
    shown.collect()
}

/// Queueing disciplines by interface and kind.
pub(crate) fn qdiscs(netns: &NetNs) -> Value {
    let all = json_of(netns, "tc", &["-j", "qdisc", "show"]);
    let named = all.into_iter().map(|qdisc| {
        let name = format!("{} {}", text(&qdisc, "dev"), text(&qdisc, "kind"));
        (name, json!({"is there": true, "options": qdisc.get("options")}))
    });
    named.collect()
}

/// VLANs of bridge ports.
pub(crate) fn bridge_vlans(netns: &NetNs) -> Value {
    let all = json_of(netns, "bridge", &["-j", "vlan", "show"]);
    all.into_iter().map(|port| (text(&port, "ifname").to_owned(), port["vlans"].clone())).collect()
}

/// Sysctls below `/proc/sys/net` by directory and interface.
pub(crate) fn sysctls(netns: &NetNs) -> Value {
    let read = || {
        let root = Path::new("/proc/sys/net");
        let of_interfaces = SYSCTL_DIRS.iter().map(|dir| {
            let of_dir = entries(&root.join(dir)).into_iter().map(|interface| {
                let path = root.join(dir).join(&interface);
                (
                    interface,
                    entries(&path).into_iter().filter_map(|file| value(&path, &file)).collect::<Value>(),
                )
            });
            ((*dir).to_owned(), of_dir.collect::<Value>())
        });
        let global = SYSCTL_FILES.iter().filter_map(|file| value(root, file));
        of_interfaces.chain(global).map(|(name, value)| (name.replace('/', " "), value)).collect()
    };
    netns.within(read).unwrap()
}

/// Some cannot be read; those are the kernel's secrets.
fn value(dir: &Path, file: &str) -> Option<(String, Value)> {
    let value = fs::read_to_string(dir.join(file)).ok()?;
    Some((file.to_owned(), json!(value.trim())))
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Chains of nftables by table; the reference's iptables makes some, too.
pub(crate) fn filter_chains(netns: &NetNs) -> Value {
    let printed = netns.run("nft", &["-j", "list", "chains"]).unwrap().stdout;
    let listing: Value = serde_json::from_str(&printed).unwrap();
    let mut found = Map::from_iter([is_looked_at()]);
    for chain in listing["nftables"].as_array().into_iter().flatten().filter_map(|item| item.get("chain")) {
        let table = format!("{} {}", chain["family"].as_str().unwrap(), chain["table"].as_str().unwrap());
        let chains = found.entry(table).or_insert_with(|| json!({}));
        chains[chain["name"].as_str().unwrap()] = chain.get("hook").cloned().unwrap_or(json!("no hook"));
    }
    Value::Object(found)
}

/// Files of these directories by path, with their content.
pub(crate) fn files(dirs: &[&str]) -> Value {
    let mut found = Map::from_iter([is_looked_at()]);
    for dir in dirs {
        collect(Path::new(dir), &mut found);
    }
    Value::Object(found)
}

/// Keeps a document from being empty, so that what is in it differs by its own path.
fn is_looked_at() -> (String, Value) {
    ("is looked at".into(), json!(true))
}

fn collect(dir: &Path, found: &mut Map<String, Value>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let content = fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
            found.insert(path.display().to_string().replace('/', "|"), json!(content));
        }
    }
}
