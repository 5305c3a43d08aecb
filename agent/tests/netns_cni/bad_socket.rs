//! Clients of the socket that are not the shim: they are dropped, and the others are served.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use plexus_agent::lab::command::run_with_input;
use plexus_cni::Code;
use plexus_cni::env::Command as Verb;
use plexus_cni::limits::FRAME_BYTES_MAX;
use plexus_cni::wire::{
    Call, CniCall, HEADER_BYTES, Query, Reply, WIRE_VERSION, body_length, decode, encode,
};
use serde_json::{Value, json};

use crate::support::{Node, macvlan, succeeded};

/// Sends bytes and returns what the agent says to them; `None` if it closes without a word.
fn say(node: &Node, bytes: &[u8]) -> Option<Reply> {
    let mut stream = UnixStream::connect(node.host.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    // The agent may refuse by the header alone, and not read the rest.
    stream.write_all(bytes).ok();
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; body_length(header).unwrap()];
    stream.read_exact(&mut body).unwrap();
    Some(decode(&body).unwrap())
}

#[track_caller]
fn refused(reply: Option<Reply>, code: Code) -> String {
    match reply {
        Some(Reply::Failed(error)) => {
            assert_eq!(error.code, code, "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// An ADD attaches and its DEL detaches: the agent is well.
fn assert_serves(node: &Node) {
    let pod = node.pod("well");
    succeeded(&node.add(&pod, "net1", &macvlan()));
    succeeded(&node.del(&pod, "net1", &macvlan()));
    node.assert_clean(&[&pod]);
    pod.netns.remove().unwrap();
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

#[test]
fn garbage_is_answered_by_a_decoding_error() {
    let Some(node) = Node::start() else { return };
    for body in [&b"hello"[..], b"{}", b"[]", b"{\"cni\":{}}", b"\xff\xfe\x00", b"{\"query\":\"everything\"}"]
    {
        refused(say(&node, &frame(body)), Code::Decoding);
    }
    let deep = "[".repeat(100_000);
    refused(say(&node, &frame(deep.as_bytes())), Code::Decoding);
    assert_serves(&node);
}

#[test]
fn a_frame_that_announces_too_much_or_nothing_is_refused_by_its_header() {
    let Some(node) = Node::start() else { return };
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    for header in [[0xff; 4], [0; 4], too_long] {
        let text = refused(say(&node, &header), Code::Decoding);
        assert!(text.contains("bytes"), "{text}");
    }
    assert_serves(&node);
}

#[test]
fn clients_that_stall_are_dropped_and_others_served_meanwhile() {
    let Some(node) = Node::start() else { return };
    let begin = [&100_u32.to_be_bytes()[..], b"{\"cni\":"].concat();
    let stalled: Vec<UnixStream> = (0..100)
        .map(|_| {
            let mut stream = UnixStream::connect(node.host.socket()).unwrap();
            stream.write_all(&begin).unwrap();
            stream
        })
        .collect();
    assert_serves(&node);
    for mut stream in stalled {
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut rest = Vec::new();
        // Told that its time is over, or just closed: in any case it ends.
        stream.read_to_end(&mut rest).unwrap();
    }
    assert_serves(&node);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_call_leaves_nothing() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let call = Call::Cni(call(&pod.container_id, macvlan()));
    let bytes = encode(&call).unwrap();
    for length in [0, 3, 4, 20, bytes.len() - 1] {
        UnixStream::connect(node.host.socket()).unwrap().write_all(&bytes[..length]).unwrap();
    }
    assert_serves(&node);
    node.assert_clean(&[&pod]);
}

fn call(container_id: &str, config: Value) -> CniCall {
    CniCall {
        wire_version: WIRE_VERSION,
        serves_sysctls: false,
        command: Verb::Add,
        container_id: container_id.into(),
        netns: Some("/run/netns/a".into()),
        ifname: "net1".into(),
        args: String::new(),
        path: Vec::new(),
        config: config.to_string(),
    }
}

#[test]
fn a_call_is_checked_again_whatever_the_shim_has_checked() {
    let Some(node) = Node::start() else { return };
    let good = call("c1", macvlan());
    let wrong = [
        (CniCall { wire_version: WIRE_VERSION + 1, ..good.clone() }, Code::Internal),
        (CniCall { container_id: "../../etc/c1".into(), ..good.clone() }, Code::InvalidEnvironment),
        (CniCall { container_id: "c".repeat(300), ..good.clone() }, Code::InvalidEnvironment),
        (CniCall { ifname: "../net1".into(), ..good.clone() }, Code::InvalidEnvironment),
        (CniCall { args: "no-pair".into(), ..good.clone() }, Code::InvalidEnvironment),
        (CniCall { config: "{".into(), ..good.clone() }, Code::Decoding),
        (
            CniCall {
                config: json!({"cniVersion": "9.9.9", "name": "n", "type": "macvlan"}).to_string(),
                ..good.clone()
            },
            Code::IncompatibleVersion,
        ),
        // No descriptors came with it.
        (good, Code::InvalidNetns),
    ];
    for (call, code) in wrong {
        refused(say(&node, &encode(&Call::Cni(call)).unwrap()), code);
    }
    node.assert_clean(&[]);
    assert_serves(&node);
}

#[test]
fn the_socket_is_roots_alone() {
    let Some(node) = Node::start() else { return };
    let socket = node.host.socket();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // Even where an administrator opens the file, only root is answered.
    for dir in [node.host.dir().as_path(), socket.as_path()] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let asked = run_with_input(
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
            .arg(node.binaries.plexusctl())
            .arg("--socket")
            .arg(&socket)
            .arg("status"),
        b"",
        Duration::from_mins(1),
    )
    .unwrap();
    assert_eq!(asked.code, 1, "{} {}", asked.stdout, asked.stderr);
    assert!(asked.stderr.contains("65534") && asked.stderr.contains("root"), "{}", asked.stderr);
    assert_eq!(node.query(&Query::Pods), json!([]));
}
