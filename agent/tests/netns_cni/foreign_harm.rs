//! Plugins of others that do harm: each ends in a clear error in bounded time, and nothing is left of its pod.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use plexus_agent::lab::{DaemonSetup, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::plugin::PASS_ON;
use crate::support::{Node, failed, macvlan, meta, succeeded, wait, with};

/// A default network of ours, and a foreign plugin chained to it.
fn chain(plugin_type: &str) -> Value {
    meta(json!({"cniVersion": "1.1.0", "name": "lan", "plugins": [macvlan(), {"type": plugin_type}]}))
}

/// plexusd that gives a plugin one second.
fn impatient() -> Option<Node> {
    Node::start_with(|setup: &mut DaemonSetup| setup.arguments.push("--delegate-timeout-s=1".into()))
}

/// The error of an ADD with this plugin behind ours; both are undone, and a DEL finds nothing to do.
fn add_fails(node: &Node, plugin_type: &str, code: Code) -> String {
    let pod = node.known_pod("a", "");
    let config = chain(plugin_type);
    let text = failed(&node.add(&pod, "eth0", &config), code);
    assert!(text.contains(plugin_type) && text.contains("default/a"), "{text}");
    node.assert_clean(&[&pod]);
    succeeded(&node.del(&pod, "eth0", &config));
    pod.netns.remove().unwrap();
    text
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn c145_a_plugin_that_hangs_is_ended_with_its_children_and_undone() {
    let Some(node) = impatient() else { return };
    let pids = node.plugins_dir().join("pids");
    // The child hears no SIGTERM and keeps the pipes open.
    let body = format!(
        "[ \"$CNI_COMMAND\" = DEL ] && exit 0\n(trap '' TERM; exec sleep 600) &\necho $! >{0}; echo $$ >>{0}\ntrap '' TERM; wait",
        pids.display()
    );
    let script = node.plugin("hanging", &body);
    let text = add_fails(&node, "hanging", Code::DelegateTimeout);
    assert!(text.contains("did not end in time"), "{text}");
    assert_eq!(script.verbs(), ["ADD", "DEL"]);
    for pid in fs::read_to_string(pids).unwrap().lines() {
        wait::until("the plugin's processes are gone", || is_gone(pid).then_some(()));
    }
}

#[test]
fn c145_a_plugin_that_hangs_in_del_too_keeps_its_record_for_the_next_del() {
    let Some(node) = impatient() else { return };
    let gate = node.plugins_dir().join("may-end");
    let script = node.plugin("stuck", &format!("[ -e {} ] && exit 0\nexec sleep 600", gate.display()));
    let pod = node.known_pod("a", "");
    let text = failed(&node.add(&pod, "eth0", &chain("stuck")), Code::DelegateTimeout);
    assert!(text.contains("undoing it failed too"), "{text}");
    failed(&node.del(&pod, "eth0", &chain("stuck")), Code::DelegateTimeout);
    fs::write(gate, "").unwrap();
    succeeded(&node.del(&pod, "eth0", &chain("stuck")));
    assert_eq!(script.verbs(), ["ADD", "DEL", "DEL", "DEL"]);
    node.assert_clean(&[&pod]);
}

#[test]
fn a_plugin_that_leaves_a_child_on_its_pipes_holds_nobody_up() {
    let Some(node) = impatient() else { return };
    let pid = node.plugins_dir().join("pid");
    node.plugin(
        "parent",
        &format!("[ \"$CNI_COMMAND\" = ADD ] && {{ sleep 600 & echo $! >{}; }}\n{PASS_ON}", pid.display()),
    );
    let pod = node.known_pod("a", "");
    succeeded(&node.add(&pod, "eth0", &chain("parent")));
    succeeded(&node.del(&pod, "eth0", &chain("parent")));
    let pid = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait::until("the child is gone", || is_gone(&pid.to_string()).then_some(()));
    node.assert_clean(&[&pod]);
}

#[test]
fn c144_a_hundred_mebibytes_are_neither_kept_nor_waited_for() {
    let Some(node) = Node::start() else { return };
    let body = "[ \"$CNI_COMMAND\" = DEL ] && exit 0\nhead -c 104857600 /dev/zero";
    let before_kib = node.plexusd.resident_kib().unwrap();
    for (name, body) in [("flood", body.to_owned()), ("flood-of-errors", format!("{body} >&2; exit 3"))] {
        let script = node.plugin(name, &body);
        let code = if name == "flood" { Code::Decoding } else { Code::DelegateFailed };
        add_fails(&node, name, code);
        assert_eq!(script.verbs(), ["ADD", "DEL"]);
    }
    let grown_kib = node.plexusd.resident_kib().unwrap().saturating_sub(before_kib);
    assert!(grown_kib < 32 << 10, "plexusd grew by {grown_kib} KiB");
}

#[test]
fn a_plugin_that_dies_by_any_signal_is_undone() {
    let Some(node) = Node::start() else { return };
    for (signal, number) in [("KILL", 9), ("ABRT", 6), ("PIPE", 13)] {
        let name = format!("dies-by-{number}");
        let script = node.plugin(&name, &format!("[ \"$CNI_COMMAND\" = DEL ] && exit 0\nkill -{signal} $$"));
        let text = add_fails(&node, &name, Code::DelegateFailed);
        assert!(text.contains(&format!("signal {number}")), "{text}");
        assert_eq!(script.verbs(), ["ADD", "DEL"]);
    }
}

#[test]
fn errors_that_are_no_errors_are_told_as_they_are() {
    let Some(node) = Node::start() else { return };
    for (name, printed) in [
        ("half", r#"{"code":777,"msg":"no lu"#),
        ("textual", r#"{"code":"777","msg":"text"}"#),
        ("negative", r#"{"code":-1,"msg":"x"}"#),
        ("success", r#"{"cniVersion":"1.1.0"}"#),
    ] {
        node.plugin(
            name,
            &format!("[ \"$CNI_COMMAND\" = DEL ] && exit 0\nprintf '{printed}'; echo why >&2; exit 4"),
        );
        let text = add_fails(&node, name, Code::DelegateFailed);
        assert!(text.contains("exit status 4") && text.contains("why"), "{text}");
    }
}

#[test]
fn a_result_of_another_version_is_refused_and_undone() {
    let Some(node) = Node::start() else { return };
    for version in ["\"9.9.9\"", "\"latest\"", "1"] {
        let script = node.plugin(
            "futuristic",
            &format!(
                "[ \"$CNI_COMMAND\" = DEL ] && exit 0\nprintf '{{\"cniVersion\":{version},\"ips\":[]}}'"
            ),
        );
        let text = add_fails(&node, "futuristic", Code::Decoding);
        assert!(text.contains(version.trim_matches('"')), "{text}");
        assert_eq!(script.verbs().last().unwrap(), "DEL");
    }
}

/// A plugin that is no script: the kernel refuses to execute a file that somebody writes to.
fn writable(node: &Node) -> File {
    let path = node.plugins_dir().join("busy");
    fs::copy("/bin/true", &path).unwrap();
    OpenOptions::new().append(true).open(path).unwrap()
}

#[test]
fn c146_a_plugin_that_is_being_replaced_is_waited_for() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let config = chain("busy");
    let writer = writable(&node);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            drop(writer);
        });
        // It started, and /bin/true prints no result.
        failed(&node.add(&pod, "eth0", &config), Code::Decoding);
    });
    node.assert_clean(&[&pod]);
}

#[test]
fn c146_a_plugin_that_stays_busy_is_an_error_that_leaves_nothing() {
    let Some(node) = Node::start() else { return };
    let _writer = writable(&node);
    let text = add_fails(&node, "busy", Code::PluginNotStarted);
    assert!(text.to_lowercase().contains("text file busy"), "{text}");
}

#[test]
fn a_plugin_that_cannot_be_started_is_an_error_that_leaves_nothing() {
    let Some(node) = Node::start() else { return };
    let path = node.plugins_dir().join("broken");
    fs::copy(Path::new("/bin/true"), &path).unwrap();
    fs::write(&path, [0x7f, b'E', b'L', b'F', 9, 9, 9, 9]).unwrap();
    let text = add_fails(&node, "broken", Code::PluginNotStarted);
    assert!(text.contains("broken"), "{text}");
}

/// A plugin that knows versions up to 0.4.0, as the Go library's `skel` answers.
const OLD: &str = r#"case "$config" in *'"cniVersion":"0.4.0"'*) ;; *)
printf '{"cniVersion":"0.4.0","code":1,"msg":"incompatible CNI versions","details":"config is newer, plugin supports [\\"0.3.1\\" \\"0.4.0\\"]"}'; exit 1 ;; esac"#;

#[test]
fn c122_an_old_plugin_in_a_newer_list_is_named_with_what_to_do_and_no_pod_hangs() {
    let Some(node) = Node::start() else { return };
    let script = node.plugin("old", &format!("{OLD}\n{PASS_ON}"));
    let text = add_fails(&node, "old", Code::IncompatibleVersion);
    for part in ["0.4.0", "1.1.0", "cniVersion"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(script.verbs(), ["ADD"], "it would refuse its DEL in the same way");
    // As an IPAM plugin of ours too.
    let config = with(macvlan(), "ipam", json!({"type": "old"}));
    let pod: Pod = node.pod("b");
    failed(&node.add(&pod, "net1", &config), Code::IncompatibleVersion);
    node.assert_clean(&[&pod]);
}

#[test]
fn c122_the_highest_version_of_a_list_that_is_spoken_here_reaches_its_plugins() {
    let Some(node) = Node::start() else { return };
    let script = node.plugin("modern", PASS_ON);
    let pod = node.known_pod("a", "");
    for (own, others, expected) in [
        ("0.4.0", json!(["1.0.0", "2.0.0"]), "1.0.0"),
        ("1.0.0", json!(["0.3.1"]), "1.0.0"),
        ("9.0.0", json!(["1.1.0"]), "1.1.0"),
    ] {
        let mut config = chain("modern");
        config["delegates"][0]["cniVersion"] = json!(own);
        config["delegates"][0]["cniVersions"] = others;
        succeeded(&node.add(&pod, "eth0", &config));
        let seen = script.calls().pop().unwrap().config;
        assert_eq!(seen["cniVersion"], expected);
        assert!(seen.get("cniVersions").is_none());
        succeeded(&node.del(&pod, "eth0", &config));
        assert_eq!(script.calls().pop().unwrap().config["cniVersion"], expected);
    }
}
