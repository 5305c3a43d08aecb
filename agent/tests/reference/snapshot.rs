//! Everything of a place that a plugin may change.

use std::time::{Duration, Instant};

use plexus_agent::lab::NetNs;
use serde_json::{Map, Value, json};

use super::kernel;
use super::place::Place;

/// Directories in which plugins keep files.
const STATE_DIRS: [&str; 2] = ["/var/lib/cni", "/run/cni"];
/// How long links may take until they rest, and the time between two looks.
const REST_LIMIT: Duration = Duration::from_secs(10);
const REST_POLL: Duration = Duration::from_millis(30);
/// How long an IPv6 address that should come by itself is waited for: some links have IPv6 switched off.
const LINK_LOCAL_LIMIT: Duration = Duration::from_secs(2);

/// Host, pod and files, once nothing moves any more.
pub(crate) fn take(place: &Place) -> Value {
    let [host, pod] = rest(place);
    json!({
        "host": namespace(place.host.netns(), &host),
        "pod": namespace(&place.pod.netns, &pod),
        "files": kernel::files(&STATE_DIRS),
    })
}

/// The links alone, as far as names and addresses come from them.
pub(crate) fn links(place: &Place) -> Value {
    let [host, pod] = described(place).map(|described| kernel::links(&described));
    json!({"host": {"links": host}, "pod": {"links": pod}})
}

type Described = Vec<Map<String, Value>>;

/// Of host and pod.
fn described(place: &Place) -> [Described; 2] {
    [place.host.netns(), &place.pod.netns].map(kernel::described)
}

/// Waits until two looks at links and addresses say the same: carriers and IPv6 come a moment later.
fn rest(place: &Place) -> [Described; 2] {
    let what_counts = |described: &Described| (kernel::links(described), kernel::addresses(described));
    let (deadline, patience) = (Instant::now() + REST_LIMIT, Instant::now() + LINK_LOCAL_LIMIT);
    let mut seen = described(place).each_ref().map(what_counts);
    loop {
        std::thread::sleep(REST_POLL);
        let again = described(place);
        let counts = again.each_ref().map(what_counts);
        let is_waiting = Instant::now() < patience && again.iter().any(|one| kernel::awaits_link_local(one));
        if counts == seen && !again.iter().any(|one| kernel::is_tentative(one)) && !is_waiting {
            return again;
        }
        seen = counts;
        assert!(Instant::now() < deadline, "the links do not come to rest: {seen:#?}");
    }
}

fn namespace(netns: &NetNs, described: &Described) -> Value {
    json!({
        "links": kernel::links(described),
        "addresses": kernel::addresses(described),
        "routes": kernel::routes(netns),
        "rules": kernel::rules(netns),
        "qdiscs": kernel::qdiscs(netns),
        "vlans": kernel::bridge_vlans(netns),
        "sysctls": kernel::sysctls(netns),
        "filter": kernel::filter_chains(netns),
    })
}
