//! `CNI_NETNS`: what is passed to the agent, and what is refused (C033, C046, C060, C061).

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::support::{FakeAgent, Plugins, PodNetns, Shim, Step, config};

/// The error for this `CNI_NETNS`; the agent must not have been asked.
fn refused(netns: &str) -> String {
    let mut shim = Shim::new("ADD").env("CNI_NETNS", netns);
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))]]);
    let ended = shim.run(config("1.1.0"));
    assert_eq!(ended.code(), 107, "{}", ended.message());
    assert!(agent.saw_nothing() && ended.message().contains("CNI_NETNS"));
    ended.message()
}

#[test]
fn the_agent_gets_the_namespace_and_a_netlink_socket_inside_it() {
    let Some(pod) = PodNetns::new() else { return };
    let mut shim = Shim::new("ADD").env("CNI_NETNS", pod.path());
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))]]);
    shim.run(config("1.1.0")).success();
    let fds = agent.seen().fds;
    assert_eq!(fds.len(), 2);
    assert_eq!(fds[0].link(), pod.link());
    let inode = fds[1].link().trim_start_matches("socket:[").trim_end_matches(']').to_owned();
    fds[1].bind();
    let lists = |sockets: &str| sockets.lines().any(|line| line.split_whitespace().last() == Some(&inode));
    assert!(lists(&pod.netlink_sockets()), "the socket lives in the pod's namespace");
    assert!(!lists(&std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap()));
}

#[test]
fn c033_plugins_run_in_the_runtimes_namespace() {
    let Some(pod) = PodNetns::new() else { return };
    let plugins = Plugins::new();
    plugins.add("where", "cat >/dev/null; readlink /proc/self/ns/net");
    let mut shim = Shim::new("ADD").env("CNI_NETNS", pod.path());
    let script = vec![Step::Exec(plugins.request("where", "{}")), Step::Done(json!({}))];
    let agent = FakeAgent::listen(&shim.socket(), vec![script]);
    shim.run(config("1.1.0")).success();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(agent.seen().outcomes[0].stdout.trim(), own.to_string_lossy());
}

#[test]
fn c046_the_path_reaches_the_agent_as_the_runtime_wrote_it() {
    let Some(pod) = PodNetns::new() else { return };
    let path = format!("/proc/../{}", pod.path());
    let mut shim = Shim::new("ADD").env("CNI_NETNS", &path);
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))]]);
    shim.run(config("1.1.0")).success();
    assert_eq!(agent.seen().call.netns, Some(path));
}

#[test]
fn c060_the_plugins_own_namespace_is_refused() {
    assert!(refused("/proc/self/ns/net").contains("own network namespace"));
}

#[test]
fn c060_the_plugins_own_namespace_is_allowed_on_demand() {
    // Entering a namespace, even one's own, is what may be forbidden here.
    let Some(_) = PodNetns::new() else { return };
    for value in ["1", "true", "TRUE"] {
        let mut shim =
            Shim::new("ADD").env("CNI_NETNS", "/proc/self/ns/net").env("CNI_NETNS_OVERRIDE", value);
        let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))]]);
        shim.run(config("1.1.0")).success();
    }
}

#[test]
fn c061_what_is_no_network_namespace_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("file"), "").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    mkfifo(&*at("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["absent", "file", "link", "loop", "fifo", "socket", "."] {
        refused(&at(name));
    }
    refused("/dev/zero");
    refused("/dev/null");
    refused("relative/path");
}

#[test]
fn c061_a_namespace_of_another_kind_is_refused() {
    let Some(_) = PodNetns::new() else { return };
    assert!(refused("/proc/self/ns/uts").contains("not a network namespace"));
}
