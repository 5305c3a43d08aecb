//! Asking the kubelet for devices: a connection that is kept, answers that are shared but never old, and what happens
//! when the kubelet is slow, away, or restarts.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod mock_kubelet;

use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use mock_kubelet::Kubelet;
use plexus_agent::cluster::PodId;
use plexus_agent::devices::Devices;
use plexus_cni::{CniError, Code};
use serde_json::json;
use tempfile::TempDir;

const POD: PodId<'_> = PodId { namespace: "ns", name: "p", uid: Some("uid-1") };
const RESOURCE: &str = "v.com/vf";

/// A node's directory, and who is asked.
struct Node {
    dir: TempDir,
    devices: Devices,
}

impl Node {
    fn new(is_standalone: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let devices = Devices::new(&at("kubelet.sock"), &at("checkpoint"), &at("devinfo"), is_standalone);
        Self { dir, devices }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("kubelet.sock")
    }

    /// The pod's devices, asked for by an ADD that began at `began`.
    fn ask(&self, began: Instant) -> Result<Vec<String>, CniError> {
        let held = self.devices.of_pod(POD, began, Instant::now() + Duration::from_secs(30))?;
        Ok(held.unwrap().of(RESOURCE).map(str::to_owned).collect())
    }

    fn write_checkpoint(&self, uid: &str, id: &str) {
        let entry =
            json!({"PodUID": uid, "ContainerName": "c", "ResourceName": RESOURCE, "DeviceIDs": {"0": [id]}});
        let checkpoint = json!({"Data": {"PodDeviceEntries": [entry]}, "Checksum": 1});
        fs::write(self.dir.path().join("checkpoint"), checkpoint.to_string()).unwrap();
    }
}

#[test]
fn devices_of_all_containers_are_joined_sorted_and_those_of_other_pods_are_not_theirs() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    for (pod, resource, id) in [
        ("ns/p", RESOURCE, "0000:03:02.2"),
        ("ns/p", RESOURCE, "0000:03:02.1"),
        ("ns/p", RESOURCE, "0000:03:02.2"),
        ("ns/p", "v.com/other", "x"),
        ("other/p", RESOURCE, "0000:03:02.0"),
    ] {
        kubelet.give(pod, resource, id);
    }
    assert_eq!(node.ask(Instant::now()).unwrap(), ["0000:03:02.1", "0000:03:02.2"]);
}

#[test]
fn adds_at_the_same_time_share_a_list_but_none_takes_one_that_is_older_than_itself() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    kubelet.delay(Duration::from_millis(300));
    let adds = 40;
    let (first, all) = (Barrier::new(2), Barrier::new(adds));
    thread::scope(|scope| {
        scope.spawn(|| {
            first.wait();
            assert!(
                node.ask(Instant::now()).unwrap().is_empty(),
                "its list began before the device was given"
            );
        });
        first.wait();
        while kubelet.calls() == 0 {
            thread::yield_now();
        }
        // The first list is under way and lacks this.
        kubelet.give("ns/p", RESOURCE, "a");
        for _ in 0..adds {
            scope.spawn(|| {
                all.wait();
                assert_eq!(node.ask(Instant::now()).unwrap(), ["a"]);
            });
        }
    });
    assert!((2..=3).contains(&kubelet.calls()), "{} lists for {adds} ADDs", kubelet.calls());
}

#[test]
fn an_add_that_began_before_the_latest_list_uses_it_without_asking_again() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    let began = Instant::now();
    node.ask(Instant::now()).unwrap();
    node.ask(began).unwrap();
    assert_eq!(kubelet.calls(), 1);
    node.ask(Instant::now()).unwrap();
    assert_eq!(kubelet.calls(), 2);
}

#[test]
fn a_restarted_kubelet_is_found_again() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    node.ask(Instant::now()).unwrap();
    drop(kubelet);
    let error = node.ask(Instant::now()).unwrap_err();
    assert_eq!(error.code, Code::TryAgain);
    assert!(error.to_string().contains("kubelet.sock"), "{error}");
    fs::remove_file(node.socket()).unwrap();
    let kubelet = Kubelet::start(&node.socket());
    kubelet.give("ns/p", RESOURCE, "a");
    assert_eq!(node.ask(Instant::now()).unwrap(), ["a"]);
}

#[test]
fn a_socket_that_was_replaced_counts_even_while_the_old_kubelet_still_answers() {
    let node = Node::new(false);
    let old = Kubelet::start(&node.socket());
    node.ask(Instant::now()).unwrap();
    fs::remove_file(node.socket()).unwrap();
    let new = Kubelet::start(&node.socket());
    new.give("ns/p", RESOURCE, "a");
    assert_eq!(node.ask(Instant::now()).unwrap(), ["a"]);
    assert_eq!((old.calls(), new.calls()), (1, 1));
}

#[test]
fn a_slow_kubelet_is_waited_for_no_longer_than_the_call_may_last() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    kubelet.delay(Duration::from_secs(5));
    let began = Instant::now();
    let error = node.devices.of_pod(POD, began, began + Duration::from_millis(200)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3) && error.to_string().contains("deadline"), "{error}");
}

#[test]
fn an_answer_over_the_limit_is_refused_and_the_next_one_is_taken() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    kubelet.give("ns/p", RESOURCE, "a");
    kubelet.pad(17 << 20);
    let error = node.ask(Instant::now()).unwrap_err();
    assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
    kubelet.pad(15 << 20);
    assert_eq!(node.ask(Instant::now()).unwrap()[0].len(), 15 << 20);
}

#[test]
fn calls_that_the_rate_limit_refuses_are_repeated() {
    let node = Node::new(false);
    let kubelet = Kubelet::start(&node.socket());
    kubelet.refuse(3);
    assert!(node.ask(Instant::now()).is_ok());
    assert_eq!(kubelet.calls(), 4);
}

#[test]
fn the_checkpoint_counts_where_the_socket_is_not_there_or_silent() {
    let node = Node::new(false);
    node.write_checkpoint("uid-1", "a");
    assert_eq!(node.ask(Instant::now()).unwrap(), ["a"]);
    drop(Kubelet::start(&node.socket()));
    assert_eq!(node.ask(Instant::now()).unwrap(), ["a"]);
    node.write_checkpoint("uid-2", "a");
    let error = node.ask(Instant::now()).unwrap_err();
    assert!(error.code == Code::TryAgain && error.to_string().contains("no device of the pod"), "{error}");
}

#[test]
fn without_socket_and_checkpoint_only_a_standalone_node_goes_on() {
    let until = Instant::now() + Duration::from_secs(30);
    assert!(Node::new(true).devices.of_pod(POD, Instant::now(), until).unwrap().is_none());
    let error = Node::new(false).devices.of_pod(POD, Instant::now(), until).unwrap_err();
    for part in ["kubelet.sock", "mounted", "checkpoint"] {
        assert!(error.to_string().contains(part), "{part} is not in {error}");
    }
}
