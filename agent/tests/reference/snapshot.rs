//! Everything of a place that a plugin may change.

use std::time::{Duration, Instant};

use plexus_agent::lab::NetNs;
use serde_json::{Value, json};

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
    rest(place);
    json!({
        "host": namespace(place.host.netns()),
        "pod": namespace(&place.pod.netns),
        "files": kernel::files(&STATE_DIRS),
    })
}

/// The links alone, as far as names and addresses come from them.
pub(crate) fn links(place: &Place) -> Value {
    json!({
        "host": {"links": kernel::links(place.host.netns())},
        "pod": {"links": kernel::links(&place.pod.netns)},
    })
}

/// Waits until two looks at links and addresses say the same: carriers and IPv6 come a moment later.
fn rest(place: &Place) {
    let namespaces = [place.host.netns(), &place.pod.netns];
    let look = || namespaces.map(|netns| json!([kernel::links(netns), kernel::addresses(netns)]));
    let (deadline, patience) = (Instant::now() + REST_LIMIT, Instant::now() + LINK_LOCAL_LIMIT);
    let mut seen = look();
    loop {
        std::thread::sleep(REST_POLL);
        let again = look();
        let is_waiting =
            || Instant::now() < patience && namespaces.into_iter().any(kernel::awaits_link_local);
        if again == seen && !namespaces.into_iter().any(kernel::is_tentative) && !is_waiting() {
            return;
        }
        seen = again;
        assert!(Instant::now() < deadline, "the links do not come to rest: {seen:#?}");
    }
}

fn namespace(netns: &NetNs) -> Value {
    json!({
        "links": kernel::links(netns),
        "addresses": kernel::addresses(netns),
        "routes": kernel::routes(netns),
        "rules": kernel::rules(netns),
        "qdiscs": kernel::qdiscs(netns),
        "vlans": kernel::bridge_vlans(netns),
        "sysctls": kernel::sysctls(netns),
        "filter": kernel::filter_chains(netns),
    })
}
