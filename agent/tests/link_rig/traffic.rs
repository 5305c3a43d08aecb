//! Traffic over one interface of a pod, and what the data plane says of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plexus_agent::lab::ping::{Echoes, ping};
use plexus_agent::lab::traffic::udp::{Flow, FlowSpec};
use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use super::support::{Node, succeeded};

/// The limit of the tests, in bits per second.
const RATE_BPS: u64 = 4_000_000;
/// Payload of a datagram, in bytes.
const PAYLOAD_BYTES: usize = 1_000;
/// Datagrams per second that are offered: four times the limit.
const RATE_PPS: u64 = 2_000;

/// An address of a result, without its prefix length.
pub(crate) fn address(result: &Value, at: usize) -> IpAddr {
    result["ips"][at]["address"].as_str().unwrap().split_once('/').unwrap().0.parse().unwrap()
}

/// Whether `to` answers to `from`; where no route leads there it does not.
pub(crate) fn answers(from: &NetNs, to: IpAddr) -> bool {
    ping(from, to, 1).is_ok_and(Echoes::all_answered)
}

/// Packets that the pod's interface sent and got, as the data plane counts them.
pub(crate) fn counted(node: &Node, ifname: &str) -> (u64, u64) {
    let rows = node.query(&Query::Counters);
    let row = rows.as_array().unwrap().iter().find(|row| row["interface"] == ifname).unwrap().clone();
    let number = |key: &str| row["counters"][key].as_u64().unwrap_or_else(|| panic!("{row}"));
    (number("txPackets"), number("rxPackets"))
}

/// One end of the traffic.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) netns: &'a NetNs,
    pub(crate) ip: IpAddr,
}

/// Ten echoes are ten packets each way.
#[track_caller]
pub(crate) fn assert_counted(node: &Node, ifname: &str, pod: End<'_>, peer: End<'_>) {
    let before = counted(node, ifname);
    assert!(ping(pod.netns, peer.ip, 10).unwrap().all_answered());
    let after = counted(node, ifname);
    assert!(after.0 - before.0 >= 10 && after.1 - before.1 >= 10, "{before:?} {after:?}");
}

/// Chains `bandwidth` to the interface: traffic from the pod and to it keeps to the limit.
#[track_caller]
pub(crate) fn assert_limited(node: &Node, at: (&Pod, &str), result: &Value, pod: End<'_>, peer: End<'_>) {
    let limit = json!({
        "cniVersion": "1.1.0", "name": "limit", "type": "bandwidth", "prevResult": result,
        "ingressRate": RATE_BPS, "ingressBurst": RATE_BPS / 20, "egressRate": RATE_BPS, "egressBurst": RATE_BPS / 20,
    });
    succeeded(&node.add(at.0, at.1, &limit));
    for (from, to) in [(pod, peer), (peer, pod)] {
        let seen = steady_bps(from, to);
        #[expect(clippy::cast_precision_loss, reason = "a small number of bits")]
        let share = seen / RATE_BPS as f64;
        assert!((0.6..1.3).contains(&share), "{} to {}: {seen} bit/s", from.ip, to.ip);
    }
    succeeded(&node.del(at.0, at.1, &limit));
}

fn steady_bps(from: End<'_>, to: End<'_>) -> f64 {
    let spec = FlowSpec {
        to: SocketAddr::new(to.ip, 5001),
        rate_pps: RATE_PPS,
        payload_bytes: PAYLOAD_BYTES,
        duration: Duration::from_millis(1500),
        warm_up: Duration::from_millis(300),
    };
    Flow::start(from.netns, to.netns, spec).unwrap().wait().unwrap().steady_bps
}
