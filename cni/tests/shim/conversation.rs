//! An agent, or an impostor, that does not speak as agreed; and one that is not for everybody.

use serde_json::{Value, json};

use crate::support::{FakeAgent, Shim, Step, config};

#[test]
fn a_frame_that_announces_too_much_or_nothing_is_refused() {
    for header in [[0xff; 4], [0; 4]] {
        let mut shim = Shim::new("GC");
        let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Raw(header.to_vec())]]);
        assert_eq!(shim.run(config("1.1.0")).code(), 6);
    }
}

#[test]
fn a_frame_that_is_no_reply_is_refused() {
    for body in ["nonsense", "{}", "{\"exec\":{}}", "{\"done\":1,\"failed\":2}"] {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(body.bytes());
        let mut shim = Shim::new("GC");
        let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Raw(frame)]]);
        let ended = shim.run(config("1.1.0"));
        assert_eq!(ended.code(), 6, "{body}");
        assert!(ended.message().contains("plexusd"));
    }
}

#[test]
fn half_a_frame_is_an_agent_that_went_away() {
    let mut shim = Shim::new("GC");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Raw(vec![0, 0, 1]), Step::Close]]);
    assert_eq!(shim.run(config("1.1.0")).code(), 11);
}

#[test]
fn everything_the_runtime_said_reaches_the_agent() {
    let mut shim =
        Shim::new("DEL").env("CNI_PATH", "/a:/b").env("CNI_ARGS", "K8S_POD_NAME=p").env("CNI_NETNS", "/gone");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.1.0")).success();
    let call = serde_json::to_value(agent.seen().call).unwrap();
    let expected = json!({
        "wireVersion": 1, "servesSysctls": true, "command": "DEL", "containerId": "cid-1", "netns": "/gone", "ifname": "eth0",
        "args": "K8S_POD_NAME=p", "path": ["/a", "/b"], "config": config("1.1.0"),
    });
    assert_eq!(call, expected);
}

#[test]
fn a_socket_that_may_not_be_used_is_no_agent_that_is_away() {
    let mut shim = Shim::new("GC");
    let directory = shim.directory().join("plexus.sock");
    std::fs::create_dir(directory).unwrap();
    let code = shim.run(config("1.1.0")).code();
    assert!(matches!(code, 5 | 11), "{code}");
}
