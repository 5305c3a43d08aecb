//! Sysctls that the shim reads and writes in the pod on the agent's word.

use plexus_cni::sysctl::{SysctlEnd, SysctlOutcome, SysctlRequest, SysctlSetting};
use plexus_cni::wire::ExecEnd;
use serde_json::json;

use crate::support::{FakeAgent, Plugins, PodNetns, Shim, Step, config};

const FORWARD: &str = "net/ipv4/ip_forward";

fn request(settings: &[(&str, Option<&str>)]) -> SysctlRequest {
    let setting = |(name, value): &(&str, Option<&str>)| SysctlSetting {
        name: (*name).to_owned().try_into().unwrap(),
        value: value.map(str::to_owned),
    };
    SysctlRequest { settings: settings.iter().map(setting).collect() }
}

/// What became of the request in this namespace.
fn work(netns: &str, request: SysctlRequest) -> SysctlOutcome {
    let mut shim = Shim::new("ADD").env("CNI_NETNS", netns);
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Sysctl(request), Step::Done(json!({}))]]);
    shim.run(config("1.1.0")).success();
    let mut seen = agent.seen();
    assert!(seen.call.serves_sysctls, "the agent is told that it may ask");
    seen.sysctls.remove(0)
}

#[test]
fn sysctls_are_those_of_the_pod_and_the_value_from_before_is_told() {
    let Some(pod) = PodNetns::new() else { return };
    let path = "/proc/sys/net/ipv4/ip_forward";
    let own = std::fs::read_to_string(path).unwrap();
    for (before, value) in [("0", "1"), ("1", "0"), ("0", "0")] {
        let asked = [(FORWARD, Some(value)), ("net/ipv4/no_such_thing", Some("1")), (FORWARD, None)];
        let outcome = work(&pod.path(), request(&asked));
        let done = |value: &str| SysctlEnd::Done(Some(value.to_owned()));
        assert_eq!(outcome.ends, [done(before), SysctlEnd::Missing, done(value)]);
        assert_eq!(pod.read(path).trim(), value);
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), own, "the host's is another one");
}

#[test]
fn a_value_that_the_kernel_refuses_does_not_stop_the_others() {
    let Some(pod) = PodNetns::new() else { return };
    let asked = [(FORWARD, Some("no number")), (FORWARD, Some("1"))];
    let outcome = work(&pod.path(), request(&asked));
    assert!(matches!(&outcome.ends[0], SysctlEnd::Refused(_)), "{:?}", outcome.ends);
    assert_eq!(outcome.ends[1], SysctlEnd::Done(Some("0".into())));
}

#[test]
fn a_plugin_after_it_runs_in_the_runtimes_namespace() {
    let Some(pod) = PodNetns::new() else { return };
    let plugins = Plugins::new();
    plugins.add("where", "cat >/dev/null; readlink /proc/self/ns/net");
    let mut shim = Shim::new("ADD").env("CNI_NETNS", pod.path());
    let script = vec![
        Step::Sysctl(request(&[(FORWARD, Some("1"))])),
        Step::Exec(plugins.request("where", "{}")),
        Step::Done(json!({})),
    ];
    let agent = FakeAgent::listen(&shim.socket(), vec![script]);
    shim.run(config("1.1.0")).success();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let outcome = &agent.seen().outcomes[0];
    assert_eq!((&outcome.end, outcome.stdout.trim()), (&ExecEnd::Exited(0), &*own.to_string_lossy()));
}

#[test]
fn without_a_namespace_nothing_is_written() {
    let mut shim = Shim::new("DEL").without("CNI_NETNS");
    let script = vec![Step::Sysctl(request(&[(FORWARD, Some("1"))])), Step::Done(json!(null))];
    let agent = FakeAgent::listen(&shim.socket(), vec![script]);
    shim.run(config("1.1.0")).success();
    assert!(matches!(&agent.seen().sysctls[0].ends[..], [SysctlEnd::Refused(_)]));
}

#[test]
fn a_name_that_leads_out_of_net_is_no_request() {
    let Some(pod) = PodNetns::new() else { return };
    let body = br#"{"sysctl":{"settings":[{"name":"net/../kernel/hostname","value":"x"}]}}"#;
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut shim = Shim::new("ADD").env("CNI_NETNS", pod.path());
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Raw([&length[..], body].concat())]]);
    let ended = shim.run(config("1.1.0"));
    assert!(ended.message().contains("net/../kernel/hostname"), "{}", ended.message());
}
