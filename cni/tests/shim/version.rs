//! VERSION: C035 to C039.

use serde_json::Value;

use crate::support::{FakeAgent, PodNetns, Shim, Step, config, file_with};

fn answer(stdin: &str) -> Value {
    let ended = Shim::new("VERSION").run_with(file_with(stdin));
    serde_json::from_str(ended.success()).unwrap()
}

#[test]
fn c035_version_names_all_supported_versions() {
    let answer = answer("");
    assert_eq!(answer["supportedVersions"].as_array().unwrap().len(), 5);
    assert_eq!(answer["cniVersion"], "1.1.0");
}

#[test]
fn c036_version_repeats_the_version_of_its_input() {
    for version in ["0.1.0", "0.4.0", "1.0.0", "1.1.0"] {
        assert_eq!(answer(&format!("{{\"cniVersion\":\"{version}\"}}"))["cniVersion"], version);
    }
}

#[test]
fn c037_version_succeeds_with_any_stdin() {
    for text in ["", "{", "null", "{\"cniVersion\":7}"] {
        assert_eq!(answer(text)["cniVersion"], "1.1.0", "{text:?}");
    }
    let closed = Shim::through_shell("VERSION", "<&-");
    assert!(closed.success().contains("supportedVersions"));
}

#[test]
fn c037_version_does_not_wait_for_a_stdin_that_stays_open() {
    let (reader, writer) = std::io::pipe().unwrap();
    let ended = Shim::new("VERSION").run_with(reader);
    assert!(ended.success().contains("supportedVersions"));
    drop(writer);
}

#[test]
fn c038_the_supported_versions_are_those_for_which_add_succeeds() {
    let Some(pod) = PodNetns::new() else { return };
    let supported = answer("")["supportedVersions"].clone();
    let mut works = Vec::new();
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let mut shim = Shim::new("ADD").env("CNI_NETNS", pod.path());
        let _agent = FakeAgent::listen(
            &shim.socket(),
            vec![vec![Step::Done(serde_json::json!({"cniVersion": version}))]],
        );
        if shim.run(config(version)).status.success() {
            works.push(Value::from(version));
        }
    }
    assert_eq!(supported, Value::from(works));
}

#[test]
fn c039_version_needs_no_agent_and_leaves_nothing_behind() {
    let mut shim = Shim::new("VERSION").env("PLEXUS_STATE_DIR", "/dev/full");
    shim.run_with(file_with(&config("1.1.0"))).success();
    assert_eq!(std::fs::read_dir(shim.directory()).unwrap().count(), 0);
}

#[test]
fn c022_version_needs_no_container_variables() {
    let mut shim = Shim::new("VERSION").without("CNI_CONTAINERID").without("CNI_IFNAME").without("CNI_PATH");
    shim.run("").success();
}
