//! DEL: C069 to C072, C080, C081, and the spool.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{FakeAgent, PodNetns, Shim, Step, config, config_with};
use plexus_cni::Code;
use plexus_cni::wire::CniCall;

#[test]
fn c069_c070_a_del_succeeds_as_often_as_it_is_made_while_the_agent_is_away() {
    let mut shim = Shim::new("DEL");
    for _ in 0..10 {
        shim.run(config("1.0.0")).success();
    }
    assert_eq!(shim.spooled().len(), 1, "ten DELs of one attachment are one");
}

#[test]
fn c071_c072_a_del_without_namespace_reaches_the_agent_without_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("unmounted");
    std::fs::write(&file, "").unwrap();
    for netns in [None, Some(String::new()), Some("/nowhere".into()), Some(file.display().to_string())] {
        let mut shim = Shim::new("DEL");
        if let Some(netns) = &netns {
            shim = shim.env("CNI_NETNS", netns);
        }
        let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
        shim.run(config("1.0.0")).success();
        let seen = agent.seen();
        assert!(seen.fds.is_empty());
        assert_eq!(seen.call.netns, netns.filter(|netns| !netns.is_empty()));
    }
}

#[test]
fn c073_a_del_whose_path_names_the_hosts_namespace_passes_no_descriptor() {
    let mut shim = Shim::new("DEL").env("CNI_NETNS", "/proc/self/ns/net");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.0.0")).success();
    assert!(agent.seen().fds.is_empty());
}

#[test]
fn a_del_with_its_namespace_passes_both_descriptors() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = Shim::new("DEL").env("CNI_NETNS", pod.path());
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.0.0")).success();
    assert_eq!(agent.seen().fds.len(), 2);
}

#[test]
fn c080_a_del_without_agent_is_kept_whole_for_root_only() {
    let mut shim = Shim::new("DEL").env("CNI_NETNS", "/nowhere").env("CNI_ARGS", "K8S_POD_NAME=p");
    shim.run(config("1.0.0")).success();
    let spooled = shim.spooled();
    assert_eq!(spooled.len(), 1);
    let call: CniCall = serde_json::from_slice(&std::fs::read(&spooled[0]).unwrap()).unwrap();
    assert_eq!((&*call.container_id, &*call.ifname, &*call.args), ("cid-1", "eth0", "K8S_POD_NAME=p"));
    assert_eq!((call.netns.as_deref(), &*call.config), (Some("/nowhere"), &*config("1.0.0")));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&spooled[0]), mode(spooled[0].parent().unwrap())), (0o600, 0o700));
    assert!(spooled[0].file_name().unwrap().to_string_lossy().starts_with("cid-1-eth0-"));
}

#[test]
fn plugins_of_one_chain_are_kept_apart_in_the_spool() {
    let mut shim = Shim::new("DEL");
    for plugin_type in ["macvlan", "bandwidth"] {
        shim.run(config_with(&serde_json::json!({"type": plugin_type}))).success();
    }
    assert_eq!(shim.spooled().len(), 2);
}

#[test]
fn a_state_directory_in_the_config_comes_before_the_environment() {
    let mut shim = Shim::new("DEL");
    let other = shim.directory().join("other");
    shim.run(config_with(&serde_json::json!({"stateDir": other}))).success();
    assert_eq!(std::fs::read_dir(other.join("spool")).unwrap().count(), 1);
    assert!(shim.spooled().is_empty());
}

#[test]
fn an_agent_that_asks_for_patience_gets_its_del_from_the_spool() {
    let mut shim = Shim::new("DEL");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Failed(Code::TryAgain, "starting")]]);
    shim.run(config("1.0.0")).success();
    assert_eq!(shim.spooled().len(), 1);
}

#[test]
fn an_agent_that_dies_over_a_del_gets_it_from_the_spool() {
    let mut shim = Shim::new("DEL");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Close], vec![Step::Close]]);
    shim.run(config("1.0.0")).success();
    assert_eq!(shim.spooled().len(), 1);
}

#[test]
fn an_agent_that_comes_back_meanwhile_hears_of_the_del_at_once() {
    let mut shim = Shim::new("DEL");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Close], vec![Step::Done(Value::Null)]]);
    shim.run(config("1.0.0")).success();
    assert_eq!(agent.seen().call, agent.seen().call);
    assert!(shim.spooled().is_empty(), "it was served, so nothing is left to replay");
}

#[test]
fn a_del_that_nobody_can_keep_is_code_11() {
    let shim = Shim::new("DEL");
    let file = shim.directory().join("file");
    std::fs::write(&file, "").unwrap();
    let mut shim = shim.env("PLEXUS_STATE_DIR", file);
    let ended = shim.run(config("1.0.0"));
    assert_eq!(ended.code(), 11);
    assert!(ended.message().contains("spool"), "{}", ended.message());
}

#[test]
fn an_error_of_the_agent_is_the_dels_error() {
    let mut shim = Shim::new("DEL");
    let _agent =
        FakeAgent::listen(&shim.socket(), vec![vec![Step::Failed(Code::DelegateFailed, "dhcp: no")]]);
    assert_eq!(shim.run(config("1.0.0")).code(), 108);
    assert!(shim.spooled().is_empty());
}

#[test]
fn c081_a_del_prints_nothing() {
    let mut shim = Shim::new("DEL");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(serde_json::json!({"a": 1}))]]);
    assert_eq!(shim.run(config("1.0.0")).success(), "");
    assert_eq!(Shim::new("DEL").run(config("1.0.0")).success(), "", "kept in the spool");
}
