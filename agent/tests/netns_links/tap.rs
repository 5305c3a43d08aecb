//! `tap`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plexus_agent::lab::Pod;
use plexus_agent::lab::skip::skipped;
use plexus_agent::sandbox::{Tap, TapPlan};
use plexus_cni::Code;
use serde_json::{Value, json};
use std::os::fd::AsFd as _;

use crate::link_rig::support::kernel::{addresses, link};
use crate::link_rig::support::{Node, failed, succeeded, with};
use crate::link_rig::traffic::counted;

/// Addresses, and a hardware address of the process' end that the pod knows.
fn tap() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "machine", "type": "tap",
        "ipam": {"type": "static", "addresses": [{"address": "10.7.0.1/24"}]},
    })
}

fn start(test: &str) -> Option<Node> {
    if !fs::exists("/dev/net/tun").unwrap() {
        skipped(test, "/dev/net/tun is missing (`modprobe tun`)");
        return None;
    }
    Node::start()
}

/// The process' end.
fn attach(pod: &Pod, has_queues: bool) -> Tap {
    let plan = TapPlan { name: "net1", index: None, has_queues };
    pod.netns.within(|| Tap::open(&plan)).unwrap().unwrap()
}

/// Frames that the process gets until none comes for a while, IPv6's own chatter left out.
fn received(tap: &Tap) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let quiet = PollTimeout::try_from(Duration::from_millis(300)).unwrap();
    while poll(&mut [PollFd::new(tap.frames().as_fd(), PollFlags::POLLIN)], quiet).unwrap() > 0 {
        let mut frame = vec![0; 2048];
        let length = tap.frames().read(&mut frame).unwrap();
        frame.truncate(length);
        if frame[12..14] == [0x08, 0x00] {
            frames.push(frame);
        }
    }
    frames
}

/// Sends datagrams to the process, whose hardware address is known.
fn send(pod: &Pod, count: usize) {
    pod.netns.ip(&["neigh", "replace", "10.7.0.2", "lladdr", "02:00:00:00:00:02", "dev", "net1"]).unwrap();
    let socket = pod.netns.within(|| UdpSocket::bind("10.7.0.1:7000")).unwrap().unwrap();
    for _ in 0..count {
        socket.send_to(&[0; 1000], "10.7.0.2:7001").unwrap();
    }
}

/// A frame of the process' with source and destination turned round.
fn answer_to(frame: &[u8]) -> Vec<u8> {
    let turned = [
        &frame[6..12],
        &frame[..6],
        &frame[12..26],
        &frame[30..34],
        &frame[26..30],
        &frame[36..38],
        &frame[34..36],
    ];
    let mut answer = turned.concat();
    answer.extend(&frame[38..40]);
    // Without a UDP checksum; the header's sum does not care about the order of addresses.
    answer.extend([0, 0]);
    answer.extend(&frame[42..]);
    answer
}

#[test]
fn a_process_gets_and_sends_frames_counted_and_limited() {
    let Some(node) = start("a_process_gets_and_sends_frames_counted_and_limited") else { return };
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "net1", &tap()));
    assert_eq!(addresses(&pod.netns, "net1"), ["10.7.0.1/24"]);
    let process = attach(&pod, false);
    let before = counted(&node, "net1");
    send(&pod, 10);
    let frames = received(&process);
    assert_eq!(frames.len(), 10);
    let socket = pod.netns.within(|| UdpSocket::bind("10.7.0.1:7000")).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    process.frames().write_all(&answer_to(&frames[0])).unwrap();
    assert_eq!(socket.recv(&mut [0; 2048]).unwrap(), 1000);
    drop(socket);
    let after = counted(&node, "net1");
    assert!(after.0 - before.0 >= 10 && after.1 > before.1, "{before:?} {after:?}");
    let limit = json!({
        "cniVersion": "1.1.0", "name": "limit", "type": "bandwidth", "prevResult": result,
        "egressRate": 8_000, "egressBurst": 90_000,
    });
    succeeded(&node.add(&pod, "net1", &limit));
    send(&pod, 100);
    let passed = received(&process).len();
    assert!((5..40).contains(&passed), "a burst of eleven frames: {passed}");
    succeeded(&node.del(&pod, "net1", &limit));
    succeeded(&node.check(&pod, "net1", &tap(), &result));
    drop(process);
    succeeded(&node.del(&pod, "net1", &tap()));
    succeeded(&node.del(&pod, "net1", &tap()));
    node.assert_clean(&[&pod]);
}

#[test]
fn every_key_reaches_the_kernel() {
    let Some(node) = start("every_key_reaches_the_kernel") else { return };
    let pod = node.pod("a");
    pod.netns.ip(&["link", "add", "inner", "type", "bridge"]).unwrap();
    let keys = json!({
        "cniVersion": "1.1.0", "name": "machine", "type": "tap", "multiQueue": true, "mtu": 1400, "owner": 64_107,
        "group": 64_108, "mac": "02:00:00:00:00:07", "bridge": "inner",
    });
    let result = succeeded(&node.add(&pod, "net1", &keys));
    let shown = link(&pod.netns, "net1").unwrap();
    let info = &shown["linkinfo"]["info_data"];
    assert_eq!(
        (&shown["mtu"], &shown["address"], &shown["master"]),
        (&json!(1400), &json!("02:00:00:00:00:07"), &json!("inner"))
    );
    assert_eq!(
        (&info["type"], &info["multi_queue"], &info["persist"]),
        (&json!("tap"), &json!(true), &json!(true))
    );
    // Numbers that no user has, which iproute2 would name; newer ones print numbers as such.
    let number = |key: &str| info[key].to_string().trim_matches('"').to_owned();
    assert_eq!((number("user"), number("group")), ("64107".to_owned(), "64108".to_owned()));
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:07");
    let queues = [attach(&pod, true), attach(&pod, true)];
    succeeded(&node.check(&pod, "net1", &keys, &result));
    pod.netns.ip(&["link", "set", "net1", "nomaster"]).unwrap();
    let said = failed(&node.check(&pod, "net1", &keys, &result), Code::CheckFailed);
    assert!(said.contains("no port of bridge inner"), "{said}");
    drop(queues);
    succeeded(&node.del(&pod, "net1", &keys));
    pod.netns.ip(&["link", "del", "inner"]).unwrap();
    node.assert_clean(&[&pod]);
}

#[test]
fn c014_a_config_that_cannot_work_is_refused_and_leaves_nothing() {
    let Some(node) = start("c014_a_config_that_cannot_work_is_refused_and_leaves_nothing") else { return };
    let pod = node.pod("a");
    for (key, value, code, named) in [
        ("mtu", json!(70_000), Code::InvalidConfig, "\"mtu\""),
        ("bridge", json!("none0"), Code::InvalidConfig, "none0"),
        ("mac", json!("01:00:00:00:00:00"), Code::InvalidConfig, "01:00"),
        ("owner", json!(-1), Code::InvalidConfig, "owner"),
        ("selinuxContext", json!("system_u:object_r:x_t:s0"), Code::UnsupportedField, "selinuxContext"),
        // The kernel refuses it when the device is there.
        ("mtu", json!(10), Code::Kernel, "MTU"),
    ] {
        let config = with(tap(), key, value);
        let said = failed(&node.add(&pod, "net1", &config), code);
        assert!(said.contains(named), "{said}");
        succeeded(&node.del(&pod, "net1", &config));
    }
    node.assert_clean(&[&pod]);
}
