//! Scenarios at work: short, and without a word about figures.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails the test")]

use std::path::Path;
use std::process::{Child, Command, Output};

use plexus_agent::lab::Host;
use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::{require_binaries_or_skip, require_root_or_skip};
use serde_json::Value;

/// Runs a scenario in the calling thread's namespaces; gives what it printed, and its report.
fn bench(scenario: &str, arguments: &[&str]) -> (Output, Option<Value>) {
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
    let report = std::fs::read_to_string(&report).ok();
    (output, report.map(|report| serde_json::from_str(&report).unwrap()))
}

/// Runs a scenario that must succeed and gives its report.
fn run(scenario: &str, arguments: &[&str]) -> Value {
    let (output, report) = bench(scenario, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    report.unwrap()
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
fn frames_of_af_xdp_arrive_numbered_and_timed_at_af_xdp() {
    if !require_root_or_skip("scenario") {
        return;
    }
    let scenario = |rate: &str| {
        format!(
            "{{name: xsk, topology: {{netns: wire}}, generator: af-xdp, frame_bytes: [64, 1518], flows: 4, rate: {rate}, duration_s: 0.3}}"
        )
    };
    let paced = run(&scenario("{pps: 2000}"), &[]);
    for bytes in [64, 1518] {
        assert!(median(&paced, &format!("received.{bytes}.forward")) > 0.0);
        assert!(median(&paced, &format!("latency.{bytes}.forward")) > 0.0);
        assert!(median(&paced, &format!("reordered.{bytes}.forward")) < 1.0);
    }
    assert!(paced["conditions"]["generator"].as_str().unwrap().contains("AF_XDP in copy mode"));
    // More than the rings hold: room that the kernel gave back is used again.
    let full = run(&scenario("max"), &[]);
    assert!(median(&full, "received.64.forward") * 0.3 > 4096.0);
    assert!(median(&full, "loss.64.forward") < 100.0);
}

#[test]
fn af_xdp_carries_frames_over_bridge_and_fastpath() {
    let Some(binaries) = require_binaries_or_skip("scenario") else { return };
    for between in ["bridge", "fastpath"] {
        let scenario = format!(
            "{{name: xsk, topology: {{netns: {between}}}, generator: af-xdp, frame_bytes: [128], rate: {{pps: 2000}}, duration_s: 0.3, direction: backward}}"
        );
        let report = run(&scenario, &["--bin-dir", binaries.dir().to_str().unwrap()]);
        assert!(median(&report, "received.128.backward") > 0.0, "{between}");
        assert!(median(&report, "latency.128.backward") > 0.0, "{between}");
    }
}

#[test]
fn a_device_that_hands_nothing_to_af_xdp_is_named_with_what_works_instead() {
    if !require_root_or_skip("scenario") {
        return;
    }
    let _host = Host::enter().unwrap();
    for device in ["plain-a", "plain-b"] {
        ip(&["link", "add", device, "type", "bridge"]).unwrap();
        ip(&["link", "set", device, "up"]).unwrap();
    }
    let (output, _) = bench(
        "{name: xsk, topology: {netns: wire}, generator: af-xdp, frame_bytes: [64], duration_s: 0.1}",
        &["--nic", "plain-a", "plain-b"],
    );
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(message.contains("plain-b") && message.contains("af-packet"), "{message}");
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn sender_and_receiver_of_a_pair_find_each_other_and_measure() {
    if !require_root_or_skip("scenario") {
        return;
    }
    let host = Host::enter().unwrap();
    let (near, far) = (host.netns_named("near").unwrap(), host.netns_named("far").unwrap());
    let [here, there] = [&near, &far].map(|netns| netns.path().display().to_string());
    ip(&["link", "add", "net1", "netns", &here, "type", "veth", "peer", "name", "net1", "netns", &there])
        .unwrap();
    for (netns, address) in [(&near, "10.18.0.1/24"), (&far, "10.18.0.2/24")] {
        netns.ip(&["addr", "add", address, "dev", "net1"]).unwrap();
        netns.ip(&["link", "set", "net1", "up"]).unwrap();
    }
    let pair = |role: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexus-bench"));
        command.args(["pair", "--interface", "net1", "--idle-s", "30", "--role", role]);
        command
    };
    let receiver = far.within(|| pair("receiver").args(["--listen", "10.18.0.2:9477"]).spawn()).unwrap();
    let _receiver = Running(receiver.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pair.yaml");
    let text = "{name: pair, topology: pair, generator: af-packet, frame_bytes: [64, 512], rate: {pps: 5000}, duration_s: 0.3}";
    std::fs::write(&file, text).unwrap();
    let output = near
        .within(|| pair("sender").args(["--connect", "10.18.0.2:9477", "--report", "-"]).arg(&file).output())
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let report = printed.lines().find(|line| line.starts_with('{')).expect("the report is printed");
    let report: Value = serde_json::from_str(report).unwrap();
    for arm in ["received.64.forward", "received.512.forward", "round_trip.64.forward"] {
        assert!(median(&report, arm) > 0.0, "{arm}");
    }
    assert_eq!(report["bench"], "pair");
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
