//! GC: releases what the runtime does not know any more, and nothing else.

use std::fs;

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::config::valid;
use crate::support::kernel::link;
use crate::support::plugin::ipam_body;
use crate::support::{Node, failed, fastpath, macvlan, meta, snapshot, succeeded, with};

#[test]
fn c108_to_c110_c115_c117_gc_removes_what_is_not_listed_and_leaves_what_is() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(macvlan()), meta(fastpath())] {
        let [kept, stale] = ["kept", "stale"].map(|name| node.known_pod(name, ""));
        let result = succeeded(&node.add(&kept, "eth0", &config));
        succeeded(&node.add(&kept, "eth1", &config));
        succeeded(&node.add(&stale, "eth0", &config));
        let list = valid(config.clone(), &[(&kept, "eth0")]);
        let outcome = node.ask(Command::Gc, &list);
        assert_eq!((succeeded(&outcome), &*outcome.stdout), (Value::Null, ""));
        assert!(link(&kept.netns, "eth1").is_none());
        succeeded(&node.check(&kept, "eth0", &config, &result));
        let before = snapshot::take(&node.host, &[&kept]);
        succeeded(&node.ask(Command::Gc, &list));
        assert_eq!(snapshot::take(&node.host, &[&kept]), before);
        succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[])));
        assert_eq!(node.leftovers(), Vec::<String>::new());
        // Of a namespace that was not passed nothing can be removed but what the host holds: it ends with the pod.
        for pod in [kept, stale] {
            succeeded(&node.del(&pod, "eth0", &config));
            pod.netns.remove().unwrap();
        }
    }
}

#[test]
fn c111_gc_of_one_network_never_touches_another() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let attached = [
        ("net1", macvlan()),
        ("net2", with(macvlan(), "name", json!("other"))),
        ("net3", fastpath()),
        ("eth0", meta(with(macvlan(), "name", json!("third")))),
    ];
    for (ifname, config) in &attached {
        succeeded(&node.add(&pod, ifname, config));
    }
    let before = snapshot::take(&node.host, &[&pod]);
    let gone = with(macvlan(), "name", json!("nobodys"));
    succeeded(&node.ask(Command::Gc, &valid(gone, &[])));
    assert_eq!(snapshot::take(&node.host, &[&pod]), before);
    for (at, (ifname, config)) in attached.iter().enumerate() {
        succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[])));
        assert!(link(&pod.netns, ifname).is_none(), "{ifname}");
        for (ifname, _) in &attached[at + 1..] {
            assert!(link(&pod.netns, ifname).is_some(), "{ifname}");
        }
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn c112_c121_no_list_or_only_the_misnamed_one_is_an_error_that_removes_nothing() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for config in [macvlan(), meta(macvlan())] {
        succeeded(&node.add(&pod, "eth0", &config));
        let before = snapshot::take(&node.host, &[&pod]);
        let misnamed = with(config.clone(), "cni.dev/attachments", json!([]));
        for wrong in
            [config.clone(), misnamed, with(config.clone(), "cni.dev/valid-attachments", Value::Null)]
        {
            failed(&node.ask(Command::Gc, &wrong), Code::InvalidConfig);
        }
        assert_eq!(snapshot::take(&node.host, &[&pod]), before);
        let both = with(valid(config.clone(), &[(&pod, "eth0")]), "cni.dev/attachments", json!([]));
        succeeded(&node.ask(Command::Gc, &both));
        assert_eq!(snapshot::take(&node.host, &[&pod]), before);
        succeeded(&node.ask(Command::Gc, &valid(config, &[])));
        node.assert_clean(&[&pod]);
    }
}

#[test]
fn c113_c115_gc_goes_on_after_an_error_and_reports_all() {
    let Some(node) = Node::start() else { return };
    let body = r#"if [ "$CNI_COMMAND" = DEL ]; then printf '{"code":780,"msg":"%s stays"}' "$CNI_CONTAINERID"; exit 1; fi
printf '{"cniVersion":"1.1.0","ips":[{"address":"10.77.0.%s/24"}]}' "$(cat /proc/sys/kernel/random/uuid | tr -dc 1-9 | cut -c1-2)""#;
    let ipam = node.plugin("poor-ipam", body);
    let config = with(macvlan(), "ipam", json!({"type": "poor-ipam"}));
    let pods = ["a", "b", "c"].map(|name| node.pod(name));
    for pod in &pods {
        succeeded(&node.add(pod, "net1", &config));
    }
    let text =
        failed(&node.ask(Command::Gc, &valid(config.clone(), &[(&pods[0], "net1")])), Code::Other(780));
    for pod in &pods[1..] {
        assert!(text.contains(&format!("{} stays", pod.container_id)), "{text}");
        assert!(link(&pod.netns, "net1").is_none());
    }
    assert!(!text.contains(&pods[0].container_id) && link(&pods[0].netns, "net1").is_some(), "{text}");
    assert_eq!(ipam.verbs(), ["ADD", "ADD", "ADD", "DEL", "DEL", "GC"]);
}

#[test]
fn c114_gc_is_forwarded_to_delegates_with_the_list() {
    let Some(node) = Node::start() else { return };
    let ipam = node.plugin("rich-ipam", &ipam_body("10.77.0.5/24"));
    let pod = node.known_pod("a", "");
    let single = with(macvlan(), "ipam", json!({"type": "rich-ipam"}));
    for config in [single.clone(), meta(single)] {
        succeeded(&node.add(&pod, "eth0", &config));
        succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[(&pod, "eth0")])));
        let seen = ipam.calls().pop().unwrap();
        assert_eq!(seen.command, "GC");
        let listed = json!([{"containerID": pod.container_id, "ifname": "eth0"}]);
        assert_eq!(seen.config["cni.dev/valid-attachments"], listed);
        succeeded(&node.del(&pod, "eth0", &config));
    }
}

#[test]
fn c108_gc_releases_addresses_that_no_record_knows() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for config in [macvlan(), meta(macvlan())] {
        succeeded(&node.add(&pod, "eth0", &config));
        fs::write(node.host.leases_dir().join("lan/10.1.0.200"), "forgotten\r\neth0").unwrap();
        succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[(&pod, "eth0")])));
        assert_eq!(node.leases("lan").len(), 1);
        assert!(!node.leases("lan").contains(&"10.1.0.200".into()));
        succeeded(&node.del(&pod, "eth0", &config));
    }
}

#[test]
fn c116_gc_works_when_all_namespaces_are_gone() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(fastpath())] {
        for name in ["a", "b"] {
            let pod = node.known_pod(name, "");
            succeeded(&node.add(&pod, "eth0", &config));
            pod.netns.remove().unwrap();
        }
        succeeded(&node.ask(Command::Gc, &valid(config, &[])));
        node.assert_clean(&[]);
    }
}

#[test]
fn the_start_releases_addresses_of_an_earlier_boot_that_no_record_knows() {
    let Some(mut node) = Node::start() else { return };
    let [old, new] = ["old", "new"].map(|name| node.known_pod(name, ""));
    succeeded(&node.add(&old, "eth0", &macvlan()));
    let left = node.leases("lan").remove(0);
    succeeded(&node.add(&new, "eth0", &macvlan()));
    let held: Vec<String> = node.leases("lan").into_iter().filter(|address| *address != left).collect();
    node.plexusd.kill().unwrap();
    fs::remove_file(node.host.state_dir().join(format!("records/{}.json", old.container_id))).unwrap();
    let dir = node.host.leases_dir().join("lan");
    let stamp = b"an-earlier-boot default/old";
    let outcome =
        rustix::fs::setxattr(dir.join(&left), "user.plexus.lease", stamp, rustix::fs::XattrFlags::REPLACE);
    if outcome == Err(rustix::io::Errno::NOTSUP) {
        println!("SKIPPED: the file system of the lab keeps no extended attributes");
        return;
    }
    assert_eq!(outcome, Ok(()), "it was stamped at the ADD");
    fs::write(dir.join("10.1.0.200"), "of-the-reference\r\neth0").unwrap();
    node.plexusd.restart().unwrap();
    assert_eq!(node.leases("lan"), [vec!["10.1.0.200".into()], held].concat());
}
