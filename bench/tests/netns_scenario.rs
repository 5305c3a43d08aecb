//! Scenarios at work: short, and without a word about figures.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails the test")]

use std::path::Path;
use std::process::Command;

use plexus_agent::lab::Host;
use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::{require_binaries_or_skip, require_root_or_skip};
use serde_json::Value;

/// Runs a scenario in the calling thread's namespaces and reads its report.
fn run(scenario: &str, arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (file, report) = (dir.path().join("scenario.yaml"), dir.path().join("report.json"));
    std::fs::write(&file, scenario).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_plexus-bench"))
        .arg("run")
        .arg(&file)
        .args(arguments)
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap()
}

fn median(report: &Value, arm: &str) -> f64 {
    report["arms"][arm]["median"].as_f64().unwrap_or_else(|| panic!("no arm {arm} in {}", report["arms"]))
}

#[test]
fn an_example_of_the_checkout_carries_frames_over_a_fastpath_network_both_ways() {
    let Some(binaries) = require_binaries_or_skip("scenario") else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/fastpath-latency.yaml");
    let text = std::fs::read_to_string(example).unwrap();
    let short = text.replace("duration_s: 2", "duration_s: 0.3").replace("repetitions: 3", "repetitions: 1");
    assert_ne!(text, short);
    let report = run(&short, &["--bin-dir", binaries.dir().to_str().unwrap()]);
    for arm in ["received.64.forward", "received.1518.backward", "latency.64.backward"] {
        assert!(median(&report, arm) > 0.0, "{arm}");
    }
    assert!(report["arms"]["latency.64.forward"]["p99.9"].is_number());
    assert!(report["conditions"]["scenario"]["rate"]["pps"].is_number());
}

#[test]
fn live_frames_are_counted_and_probed_on_a_bridge() {
    if !require_root_or_skip("scenario") {
        return;
    }
    let report = run(
        "{name: live, topology: {netns: bridge}, generator: xdp-live, frame_bytes: [128], rate: {pps: 20000}, duration_s: 0.3}",
        &[],
    );
    assert!(median(&report, "received.128.forward") > 0.0);
    assert!(median(&report, "latency.128.forward") > 0.0);
}

#[test]
fn two_named_devices_are_measured_as_they_are_and_searched() {
    if !require_root_or_skip("scenario") {
        return;
    }
    let _host = Host::enter().unwrap();
    // Two cards on one cable.
    ip(&["link", "add", "card-a", "type", "veth", "peer", "name", "card-b"]).unwrap();
    ip(&["link", "set", "card-a", "up"]).unwrap();
    ip(&["link", "set", "card-b", "up"]).unwrap();
    let search =
        "search: {loss_percent: 50, min_pps: 100, max_pps: 2000, resolution_percent: 50, trial_s: 0.05}";
    let scenario = format!(
        "{{name: cards, topology: {{netns: wire}}, generator: af-packet, frame_bytes: [64, 1024], duration_s: 0.1, {search}}}"
    );
    let report = run(&scenario, &["--nic", "card-a", "card-b"]);
    for bytes in [64, 1024] {
        assert!(median(&report, &format!("throughput.{bytes}.forward")) > 0.0);
        assert!(median(&report, &format!("line_rate.{bytes}.forward")) > 0.0);
    }
    assert!(median(&report, "at_throughput_latency.64.forward") > 0.0);
    assert_eq!(report["conditions"]["scenario"]["topology"]["nics"]["to"], "card-b");
}
