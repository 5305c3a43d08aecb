//! The project's aims: a bound for each ratio that has one.

/// A bound on a ratio; it is met at the bound itself.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

use Wanted::{AtLeast, AtMost};

const WANTED: [(&str, Wanted); 27] = [
    ("add_vs_reference", AtMost(0.333)),
    ("add_vs_floor", AtMost(2.5)),
    ("parallel40_throughput_vs_reference", AtLeast(4.0)),
    ("agent_rss_mb", AtMost(25.0)),
    ("pod_pod_vs_bridge_pps", AtLeast(1.5)),
    ("pod_pod_vs_redirect_peer_pps", AtLeast(0.9)),
    ("pod_pod_tcp_vs_bridge", AtLeast(1.0)),
    ("pod_pod_tcp_vs_macvlan", AtLeast(1.0)),
    ("pod_pod_rr_vs_bridge", AtLeast(1.0)),
    ("pod_pod_rr_vs_macvlan", AtLeast(1.0)),
    ("uplink_pod_vs_devmap_pps", AtLeast(0.85)),
    ("uplink_pod_vs_macvlan_pps", AtLeast(1.3)),
    ("features_overhead_ns", AtMost(40.0)),
    ("ports_1000_vs_1", AtMost(1.1)),
    ("routes_100k_vs_10", AtMost(3.0)),
    ("rate_error_percent_max", AtMost(1.0)),
    ("first_second_excess_percent_max", AtMost(2.0)),
    ("tcp_goodput_policed_percent_min", AtLeast(90.0)),
    ("tcp_goodput_shaped_percent_min", AtLeast(97.0)),
    ("restart_lost_packets", AtMost(0.0)),
    ("drop_follow_cost_percent", AtMost(1.0)),
    ("drop_follow_forwarded_cost_percent", AtMost(1.0)),
    ("duplicates", AtMost(0.0)),
    ("leaks", AtMost(0.0)),
    ("fast_requests_per_allocation", AtMost(0.1)),
    ("fast_p99_growth_1_to_64", AtMost(2.0)),
    ("classic_requests_per_allocation", AtMost(3.0)),
];

/// The bound of a ratio in words, and whether it is met; nothing for a ratio without one.
pub(crate) fn judge(ratio: &str, seen: f64) -> (Option<String>, Option<bool>) {
    match WANTED.iter().find(|(name, _)| *name == ratio) {
        Some((_, AtMost(bound))) => (Some(format!("≤ {bound}")), Some(seen <= *bound)),
        Some((_, AtLeast(bound))) => (Some(format!("≥ {bound}")), Some(seen >= *bound)),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!(judge("add_vs_floor", 2.5).1, Some(true));
        assert_eq!(judge("parallel40_throughput_vs_reference", 3.9).1, Some(false));
        assert_eq!(judge("something_else", 3.9), (None, None));
    }
}
