//! Which operations a runtime may do at once (part H of the sentences), seen from the plugins.

use std::fs;

use serde_json::{Value, json};

use crate::support::plugin::PASS_ON;
use crate::support::{Node, macvlan, meta, succeeded, wait, with};

/// Notes when it begins and ends; `$CNI_CONTAINERID` says for whom.
fn noting(log: &std::path::Path) -> String {
    format!(
        "printf 'begin %s\\n' \"$CNI_CONTAINERID\" >> {0}; sleep 0.05; printf 'end %s\\n' \"$CNI_CONTAINERID\" >> {0}\n{PASS_ON}",
        log.display()
    )
}

fn with_foreign(name: &str, subnet: u8) -> Value {
    let main =
        with(macvlan(), "ipam", json!({"type": "host-local", "subnet": format!("10.{subnet}.0.0/24")}));
    json!({"cniVersion": "1.1.0", "name": name, "plugins": [main, {"type": "noting"}]})
}

#[test]
fn c134_the_networks_of_one_pod_are_attached_one_after_the_other() {
    let Some(node) = Node::start() else { return };
    let log = node.plugins_dir().join("order");
    let script = node.plugin("noting", &noting(&log));
    let names: Vec<String> = (0..8).map(|at| format!("n{at}")).collect();
    for (at, name) in (20..).zip(&names) {
        node.network(name, &with_foreign(name, at));
    }
    let pod = node.known_pod("a", &names.join(","));
    let config = meta(macvlan());
    succeeded(&node.add(&pod, "eth0", &config));
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(script.verbs().len(), 16);
    let text = fs::read_to_string(log).unwrap();
    let verbs: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verbs, ["begin", "end"].repeat(16));
    let order: Vec<String> =
        script.calls().iter().map(|seen| seen.config["name"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = names.iter().chain(names.iter().rev()).cloned().collect();
    assert_eq!(order, expected, "C128: forward on ADD, backward on DEL");
    node.assert_clean(&[&pod]);
}

#[test]
fn c135_pods_are_attached_at_once() {
    let Some(node) = Node::start() else { return };
    let dir = node.plugins_dir();
    // Each waits until the other is there too: one after the other they would wait for ever.
    let body = format!(
        "touch {0}/here-$CNI_CONTAINERID\nfor i in $(seq 400); do [ $(ls {0} | grep -c ^here-) = 2 ] && break; sleep 0.05; done\n\
         [ $(ls {0} | grep -c ^here-) = 2 ] || exit 9\n{PASS_ON}",
        dir.display()
    );
    node.plugin("noting", &body);
    let pods = ["a", "b"].map(|name| node.known_pod(name, ""));
    let (runtime, config) = (&node.runtime, meta(with_foreign("lan", 1)));
    std::thread::scope(|scope| {
        let adding = pods.each_ref().map(|pod| scope.spawn(|| runtime.add(pod, "eth0", &config).unwrap()));
        for add in adding {
            succeeded(&add.join().unwrap());
        }
    });
    for pod in &pods {
        succeeded(&node.del(pod, "eth0", &config));
    }
    node.assert_clean(&pods.each_ref());
}

#[test]
fn c136_gc_waits_for_the_adds_and_dels_of_its_network() {
    let Some(node) = Node::start() else { return };
    let log = node.plugins_dir().join("order");
    let body = format!(
        "printf 'begin %s\\n' \"$CNI_COMMAND\" >> {0}; sleep 0.3; printf 'end %s\\n' \"$CNI_COMMAND\" >> {0}\n{PASS_ON}",
        log.display()
    );
    node.plugin("noting", &body);
    let pod = node.known_pod("a", "");
    let config = meta(with_foreign("lan", 1));
    let gc = crate::support::config::valid(config.clone(), &[(&pod, "eth0")]).to_string();
    let runtime = &node.runtime;
    for command in [plexus_cni::env::Command::Add, plexus_cni::env::Command::Del] {
        let seen = || fs::read_to_string(&log).unwrap_or_default().lines().count();
        let before = seen();
        std::thread::scope(|scope| {
            let working = scope.spawn(|| runtime.call(command, &pod, "eth0", &config).unwrap());
            wait::until("the plugin is called", || (seen() > before).then_some(()));
            let environment = [("CNI_COMMAND", "GC"), ("CNI_PATH", &*runtime.path)];
            succeeded(&runtime.execute(&environment, gc.as_bytes()).unwrap());
            succeeded(&working.join().unwrap());
        });
    }
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks(2) {
        let ends = pair[0].replace("begin", "end");
        assert_eq!(pair[1], ends, "{lines:?}");
    }
    assert_eq!(lines.len(), 8, "{lines:?}");
}
