//! Each packet benchmark once, as short as it can be: every path must carry packets. No figure is judged here.
#![expect(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::path::Path;
use std::process::Command;

use plexus_agent::lab::skip::{require_binaries_or_skip, require_binary_or_skip, skipped};
use serde_json::Value;

/// Runs plexus-bench and reads its report and its page.
fn bench(verb: &str, arguments: &[&str]) -> Option<(Value, String)> {
    let binaries = require_binaries_or_skip(verb)?;
    if !require_binary_or_skip(verb, "ethtool", "ethtool") {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let (report, page) = (dir.path().join("report.json"), dir.path().join("page.html"));
    let status = Command::new(env!("CARGO_BIN_EXE_plexus-bench"))
        .arg(verb)
        .args(arguments)
        .arg("--bin-dir")
        .arg(binaries.dir())
        .arg("--report")
        .arg(&report)
        .arg("--html")
        .arg(&page)
        .status()
        .unwrap();
    assert!(status.success(), "{verb}: {status}");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    Some((serde_json::from_str(&read(&report)).unwrap(), read(&page)))
}

fn positive(report: &Value, arms: &[&str]) {
    for arm in arms {
        let median = report["arms"][arm]["median"].as_f64();
        assert!(median.is_some_and(|median| median > 0.0), "arm {arm}: {median:?}");
    }
}

#[test]
fn every_path_of_forward_carries_packets() {
    let Some((report, page)) = bench("forward", &["--rounds", "1", "--seconds", "0.2"]) else { return };
    positive(
        &report,
        &[
            "pod_pod.plexus",
            "pod_pod.bridge",
            "pod_pod.redirect_peer",
            "uplink_pod_xdp.plexus",
            "uplink_pod_xdp.devmap",
            "uplink_pod_xdp.macvlan",
            "uplink_pod_stack.plexus",
            "uplink_pod_stack.devmap",
            "uplink_pod_stack.macvlan",
            "tcp.plexus",
            "tcp.bridge",
            "tcp.macvlan",
            "rr.plexus",
            "cost_tc.plexus",
            "cost_tc.redirect_peer",
            "cost_ports.1000",
            "restart.upgrade_received",
            "drops.unfollowed",
            "drops.followed",
            "drops.samples",
            "beside_drops.unfollowed",
            "beside_drops.followed",
        ],
    );
    assert!(report["ratios"]["routes_100k_vs_10"].as_f64().is_some_and(|ratio| ratio < 10.0));
    assert!(report["ratios"]["pod_pod_vs_bridge_pps"].is_number());
    assert!(report["ratios"]["drop_follow_cost_percent"].is_number());
    assert!(page.contains("pod_pod_vs_bridge_pps"));
    let steps = &report["profiles"]["cost_of_a_run"]["rows"][0];
    let whole = report["arms"]["cost_tc.plexus"]["median"].as_f64().unwrap();
    assert!((steps["total"].as_f64().unwrap() - whole).abs() < 0.1, "{steps}");
    let paths = report["profiles"]["time_per_packet"]["rows"].as_array().unwrap();
    let own = paths.iter().find(|row| row["name"] == "pod_pod.plexus").unwrap();
    assert!(own["parts"].as_array().unwrap().iter().any(|part| part["name"] == "port_gate"), "{own}");
    assert!(page.contains("Where it goes: cost_of_a_run"));
}

#[test]
fn every_limit_of_police_lets_packets_through() {
    let absent = ["--seconds", "0.2", "--shaped-absent", "not wanted"];
    let Some((report, page)) = bench("police", &absent) else { return };
    for arm in ["plexus", "standard", "tbf"] {
        positive(
            &report,
            &[
                &format!("delivered.{arm}.1M"),
                &format!("delivered.{arm}.5G"),
                &format!("tcp_goodput.{arm}.100M"),
            ],
        );
    }
    assert_eq!(report["absent"]["tcp_goodput_shaped_percent_min"], "not wanted");
    assert!(page.contains("delivered"));
}

#[test]
fn police_measures_the_shaper_or_says_why_not() {
    let Some((report, _)) = bench("police", &["--shaped", "--seconds", "0.2"]) else { return };
    if let Some(why) = report["absent"]["tcp_goodput_shaped_percent_min"].as_str() {
        skipped("police_measures_the_shaper_or_says_why_not", why);
        return;
    }
    for arm in ["plexus", "standard", "tbf"] {
        positive(&report, &[&format!("tcp_goodput_shaped.{arm}.1M"), &format!("latency_shaped.{arm}.10M")]);
    }
}
