//! The config on stdin: C007 to C015, C029 and C030.

use std::fs::File;

use serde_json::{Value, json};

use crate::support::{FakeAgent, Shim, Step, config, config_with};

/// The code for this stdin; nothing may have been asked or written.
fn code_of(stdin: impl AsRef<[u8]>) -> u64 {
    let mut shim = Shim::new("DEL");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    let code = shim.run(stdin).code();
    assert!(agent.saw_nothing(), "the agent was asked");
    assert!(!shim.state_dir().exists(), "state was written");
    code
}

#[test]
fn c007_arguments_are_no_configuration() {
    let mut shim = Shim::new("DEL").arg(&config("1.0.0")).arg("--help");
    assert_eq!(shim.run("").code(), 6);
}

#[test]
fn c008_a_closed_stdin_is_a_read_error() {
    let ended = Shim::through_shell("DEL", "<&-");
    assert_eq!(ended.code(), 5);
}

#[test]
fn c008_a_stdin_that_cannot_be_read_is_a_read_error() {
    let ended = Shim::new("DEL").run_with(File::open("/").unwrap());
    assert_eq!(ended.code(), 5);
    assert!(ended.message().contains("directory"), "{}", ended.message());
}

#[test]
fn c009_what_is_not_one_json_object_does_not_decode() {
    for text in ["", "  \n", "{", "[]", "null", "\"x\"", "{}{}", "{\"cniVersion\":\"1.0.0\",", "nonsense"] {
        assert_eq!(code_of(text), 6, "{text:?}");
    }
    assert_eq!(code_of(b"{\"cniVersion\":\"1.0.0\",\"name\":\"\xff\"}"), 6);
}

#[test]
fn c009_deep_nesting_and_key_bombs_end_in_an_error() {
    assert_eq!(code_of("{\"a\":".repeat(100_000)), 6);
    assert_eq!(code_of("[".repeat(500_000)), 6);
    let bomb = format!("{{{}\"name\":\"n\"}}", "\"a\":{\"a\":0},".repeat(50_000));
    assert_eq!(code_of(bomb), 1, "all but the last of equal keys is forgotten, and cniVersion is missing");
}

#[test]
fn c009_ten_megabytes_are_not_read_to_the_end() {
    let mut shim = Shim::new("ADD").env("CNI_NETNS", "/nowhere");
    let config = config_with(&json!({"padding": "x".repeat(10 << 20)}));
    let ended = shim.run(config);
    assert_eq!(ended.code(), 6);
    assert!(ended.message().contains("bytes"), "{}", ended.message());
}

#[test]
fn c010_a_config_without_name_is_invalid() {
    let ended = Shim::new("DEL").run(r#"{"cniVersion":"1.0.0","type":"plexus"}"#);
    assert_eq!(ended.code(), 7);
    assert!(ended.message().contains("name"));
}

#[test]
fn c011_a_name_that_is_a_path_touches_no_file() {
    for name in ["../../etc/x", ".hidden", "a/b", "a b", "-a", "ä", "a\u{0}"] {
        assert_eq!(code_of(config_with(&json!({"name": name}))), 7, "{name:?}");
    }
}

#[test]
fn c012_an_unsupported_version_is_answered_with_the_supported_ones() {
    let ended = Shim::new("DEL").run(config("9.9.9"));
    assert_eq!(ended.code(), 1);
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        assert!(ended.message().contains(version), "{}", ended.message());
    }
}

#[test]
fn c013_an_absent_version_is_0_1_0_and_a_malformed_one_does_not_decode() {
    assert_eq!(code_of(r#"{"name":"n","type":"plexus"}"#), 1);
    for version in [json!(1), json!("one"), json!("1.0"), json!(["1.0.0"])] {
        assert_eq!(code_of(config_with(&json!({"cniVersion": version}))), 6, "{version}");
    }
}

#[test]
fn c015_unknown_keys_reach_the_agent_byte_for_byte() {
    let text = "{\"cniVersion\":\"1.0.0\", \"name\":\"n\",\n \"type\":\"plexus\",\"x\":12345678901234567890123.10,\"k\":{\"b\":[3,1]}}";
    let mut shim = Shim::new("DEL");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(text).success();
    assert_eq!(agent.seen().call.config, text);
}

#[test]
fn c029_a_type_that_is_a_path_is_never_executed_nor_asked_for() {
    for plugin_type in ["../sh", "a/b", "a\\b", "..", "", "a\u{0}b"] {
        assert_eq!(code_of(config_with(&json!({"type": plugin_type}))), 7, "{plugin_type:?}");
        assert_eq!(code_of(config_with(&json!({"ipam": {"type": format!("../{plugin_type}")}}))), 7);
    }
}

#[test]
fn c030_configs_of_all_versions_from_1_0_0_on_work_alike() {
    for version in ["1.0.0", "1.1.0"] {
        let mut shim = Shim::new("DEL");
        let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
        shim.run(config(version)).success();
        assert_eq!(agent.seen().call.config, config(version));
    }
}

#[test]
fn a_socket_in_the_config_comes_before_the_environment() {
    let mut shim = Shim::new("DEL");
    let socket = shim.directory().join("other.sock");
    let agent = FakeAgent::listen(&socket, vec![vec![Step::Done(Value::Null)]]);
    shim.run(config_with(&json!({"socket": socket}))).success();
    assert_eq!(agent.seen().call.container_id, "cid-1");
}

#[test]
fn a_socket_path_that_cannot_be_one_is_named() {
    for socket in [json!("relative.sock"), json!(format!("/{}", "x".repeat(200))), json!(7)] {
        let ended = Shim::new("DEL").run(config_with(&json!({"socket": socket})));
        assert_eq!(ended.code(), 7);
        assert!(ended.message().contains("socket"), "{}", ended.message());
    }
}
