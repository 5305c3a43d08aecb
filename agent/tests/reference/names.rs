//! Names and hardware addresses that chance or a hash chose, replaced by what they belong to.

use serde_json::Value;

/// A host's end of a pair is called so by both, with different hashes behind it.
const PAIR_PREFIXES: [&str; 2] = ["veth", "plx"];
/// Digits and colons of a hardware address.
const MAC_BYTES: usize = 17;

/// `seen` with `veth…` as `veth`, and each hardware address that does not stand in `asked` as the link that has it.
pub(crate) fn replace(seen: &Value, asked: &str) -> Value {
    let mut text = seen.to_string();
    for phase in seen.as_object().into_iter().flat_map(|phases| phases.values()) {
        for (name, symbol) in pairs(&phase["host"]["links"]) {
            text = text.replace(&name, &symbol);
        }
    }
    let named: Value = serde_json::from_str(&text).unwrap();
    for phase in named.as_object().into_iter().flat_map(|phases| phases.values()) {
        for place in ["pod", "host"] {
            let mut links: Vec<_> = phase[place]["links"].as_object().into_iter().flatten().collect();
            // By name, pairs last: some kernels list links by index, others by what an index hashes to.
            links.sort_by_key(|(name, _)| (name.starts_with('<'), (*name).clone()));
            for (name, link) in links {
                let Some(mac) = link["address"].as_str().filter(|mac| is_chance(mac, asked)) else {
                    continue;
                };
                text = text.replace(mac, &format!("<MAC of {place}'s {name}>"));
            }
        }
    }
    serde_json::from_str(&without_unknown_macs(&text, asked)).unwrap()
}

/// Each pair's end, and what it is called: by the other end, where that is on the host too.
fn pairs(links: &Value) -> Vec<(String, String)> {
    let links = links.as_object().into_iter().flatten();
    let is_pair = |name: &str| PAIR_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let pairs = links.filter(|(name, _)| is_pair(name));
    pairs
        .map(|(name, link)| match link["link"].as_str().filter(|other| !is_pair(other)) {
            Some(other) => (name.clone(), format!("<pair of {other}>")),
            None => (name.clone(), "<pair>".to_owned()),
        })
        .collect()
}

fn is_chance(mac: &str, asked: &str) -> bool {
    is_mac(mac) && mac != "00:00:00:00:00:00" && !asked.contains(mac)
}

fn is_mac(text: &str) -> bool {
    text.len() == MAC_BYTES
        && text.bytes().enumerate().all(|(at, byte)| match at % 3 {
            2 => byte == b':',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// A result may name the hardware address that a link had earlier.
fn without_unknown_macs(text: &str, asked: &str) -> String {
    let mut left = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(quote) = left.find('"') {
        let (before, rest) = left.split_at(quote + 1);
        kept.push_str(before);
        left = rest;
        if let Some(mac) = left.get(..MAC_BYTES).filter(|mac| is_chance(mac, asked))
            && mac != "ff:ff:ff:ff:ff:ff"
        {
            kept.push_str("<MAC of no link>");
            left = &left[MAC_BYTES..];
        }
    }
    kept + left
}
