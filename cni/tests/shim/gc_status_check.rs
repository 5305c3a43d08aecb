//! CHECK, STATUS and GC: C093, C097, C100, C104, C107, C115, C117, C118.

use serde_json::{Value, json};

use crate::support::{FakeAgent, PodNetns, Shim, Step, config};
use plexus_cni::Code;

#[test]
fn c093_check_fails_while_the_agent_is_away() {
    let Some(pod) = PodNetns::new() else { return };
    assert_eq!(Shim::new("CHECK").env("CNI_NETNS", pod.path()).run(config("1.0.0")).code(), 11);
}

#[test]
fn c097_c104_c118_a_verb_that_the_version_lacks_is_refused() {
    for (command, version) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")] {
        let ended = Shim::new(command).env("CNI_NETNS", "/nowhere").run(config(version));
        assert_eq!(ended.code(), 1, "{command}");
        assert_eq!(ended.error()["cniVersion"], version);
    }
}

#[test]
fn c100_status_is_50_while_the_agent_is_away() {
    let mut shim = Shim::new("STATUS");
    assert_eq!(shim.run(config("1.1.0")).code(), 50);
    drop(std::os::unix::net::UnixListener::bind(shim.socket()).unwrap());
    assert_eq!(shim.run(config("1.1.0")).code(), 50, "a socket that nobody listens on");
}

#[test]
fn c107_c034_status_does_not_wait_for_an_agent_that_stalls() {
    let mut shim = Shim::new("STATUS");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Stall]]);
    assert_eq!(shim.run(config("1.1.0")).code(), 50);
    assert!(!shim.state_dir().exists());
}

#[test]
fn c101_the_agents_own_status_is_passed_on() {
    let mut shim = Shim::new("STATUS");
    let _agent = FakeAgent::listen(
        &shim.socket(),
        vec![vec![Step::Failed(Code::LimitedConnectivity, "no data plane")]],
    );
    assert_eq!(shim.run(config("1.1.0")).code(), 51);
}

#[test]
fn c115_c117_gc_prints_nothing_as_often_as_it_succeeds() {
    let mut shim = Shim::new("GC");
    let _agent =
        FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(json!({}))], vec![Step::Done(Value::Null)]]);
    assert_eq!(shim.run(config("1.1.0")).success(), "");
    assert_eq!(shim.run(config("1.1.0")).success(), "");
}

#[test]
fn c115_gc_without_agent_is_an_error_object_with_code_11() {
    let mut shim = Shim::new("GC");
    assert_eq!(shim.run(config("1.1.0")).code(), 11);
    assert!(shim.spooled().is_empty());
}
