//! ADD as a whole: C001 to C006, C032, C044, and an agent that is away or comes back.

use serde_json::{Value, json};

use crate::support::{FakeAgent, Plugins, PodNetns, Shim, Step, config};
use plexus_cni::Code;

fn add(pod: &PodNetns) -> Shim {
    Shim::new("ADD").env("CNI_NETNS", pod.path())
}

#[test]
fn c001_every_verb_exits_with_zero_exactly_when_it_succeeds() {
    let Some(pod) = PodNetns::new() else { return };
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let mut shim = Shim::new(command).env("CNI_NETNS", pod.path());
        let scripts = vec![vec![Step::Done(json!({}))], vec![Step::Failed(Code::Internal, "no")]];
        let _agent = FakeAgent::listen(&shim.socket(), scripts);
        assert_eq!(shim.run(config("1.1.0")).status.code(), Some(0), "{command}");
        assert_eq!(shim.run(config("1.1.0")).status.code(), Some(1), "{command}");
    }
}

#[test]
fn c002_an_add_prints_one_object_and_nothing_else() {
    let Some(pod) = PodNetns::new() else { return };
    let plugins = Plugins::new();
    plugins.add("noisy", "echo debug >&2; cat");
    let result = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}], "x": "y"});
    let mut shim = add(&pod).env("RUST_LOG", "trace").env("CNI_LOG_LEVEL", "debug");
    let script = vec![Step::Exec(plugins.request("noisy", "{}")), Step::Done(result.clone())];
    let _agent = FakeAgent::listen(&shim.socket(), vec![script]);
    let ended = shim.run(config("1.1.0"));
    assert_eq!(serde_json::from_str::<Value>(ended.success()).unwrap(), result);
}

#[test]
fn c003_c004_a_failure_is_one_error_object_in_the_configs_version() {
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let mut shim = Shim::new("DEL");
        let _agent =
            FakeAgent::listen(&shim.socket(), vec![vec![Step::Failed(Code::Kernel, "link is busy")]]);
        let error = shim.run(config(version)).error();
        assert_eq!((&error["cniVersion"], &error["code"]), (&json!(version), &json!(104)));
        assert!(error["msg"].as_str().unwrap().contains("link is busy"));
    }
}

#[test]
fn c005_a_delegates_own_code_is_passed_on() {
    let mut shim = Shim::new("DEL");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Failed(Code::Other(777), "foreign")]]);
    assert_eq!(shim.run(config("1.0.0")).code(), 777);
}

#[test]
fn c032_an_agent_that_is_away_is_code_11_and_the_next_add_succeeds() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = add(&pod).env("CNI_ARGS", "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0");
    let ended = shim.run(config("1.0.0"));
    assert_eq!(ended.code(), 11);
    for part in ["ns/web-0", "eth0", "net", "plexus.sock"] {
        assert!(ended.message().contains(part), "{}", ended.message());
    }
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))]]);
    shim.run(config("1.0.0")).success();
}

#[test]
fn c032_an_add_outlasts_the_restart_of_the_agent() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = add(&pod);
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Close], vec![Step::Done(json!({}))]]);
    shim.run(config("1.0.0")).success();
    assert_eq!(agent.seen().call, agent.seen().call, "the same call is made again");
}

#[test]
fn a_socket_that_an_agent_left_behind_is_code_11() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = add(&pod);
    drop(std::os::unix::net::UnixListener::bind(shim.socket()).unwrap());
    assert_eq!(shim.run(config("1.0.0")).code(), 11);
}

#[test]
fn c044_the_result_is_printed_as_the_agent_gave_it() {
    let Some(pod) = PodNetns::new() else { return };
    let result =
        json!({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.0.0.2/24"}], "dns": {}});
    let mut shim = add(&pod);
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(result.clone())]]);
    assert_eq!(shim.run(config("0.3.1")).success().trim_end(), result.to_string());
}

#[test]
fn an_add_without_a_result_is_a_failure() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = add(&pod);
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    assert_eq!(shim.run(config("1.0.0")).code(), 100);
}
