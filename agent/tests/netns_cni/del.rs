//! DEL: releases all, whatever is gone already, and nothing that is somebody else's.

use plexus_agent::lab::manifests::write_network;
use plexus_agent::lab::ping::ping;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::kernel::{addresses, link};
use crate::support::{Node, failed, fastpath, macvlan, meta, snapshot, succeeded, wait, with};

#[test]
fn c067_to_c070_c081_del_removes_all_without_a_result_as_often_as_it_comes() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(macvlan()), meta(fastpath())] {
        let pod = node.known_pod("a", "");
        for _ in 0..2 {
            let never_added = node.del(&pod, "eth0", &config);
            assert_eq!((succeeded(&never_added), &*never_added.stdout), (Value::Null, ""));
        }
        succeeded(&node.add(&pod, "eth0", &config));
        for _ in 0..10 {
            let outcome = node.del(&pod, "eth0", &config);
            assert_eq!((succeeded(&outcome), &*outcome.stdout), (Value::Null, ""));
            node.assert_clean(&[&pod]);
        }
        pod.netns.remove().unwrap();
    }
}

#[test]
fn c071_del_without_a_namespace_releases_what_the_host_holds() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(fastpath())] {
        let pod = node.known_pod("a", "");
        succeeded(&node.add(&pod, "eth0", &config));
        for netns in [None, Some("")] {
            let mut environment = vec![
                ("CNI_COMMAND", "DEL"),
                ("CNI_CONTAINERID", &*pod.container_id),
                ("CNI_IFNAME", "eth0"),
                ("CNI_PATH", &*node.runtime.path),
            ];
            environment.extend(netns.map(|path| ("CNI_NETNS", path)));
            succeeded(&node.runtime.execute(&environment, config.to_string().as_bytes()).unwrap());
            assert_eq!(node.leftovers(), Vec::<String>::new());
        }
        pod.netns.remove().unwrap();
    }
}

#[test]
fn c072_del_after_the_namespace_is_gone_releases_what_the_host_holds() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(fastpath())] {
        let pod = node.known_pod("a", "");
        succeeded(&node.add(&pod, "eth0", &config));
        // Our handle keeps the namespace alive, as a process of the pod would; only its path is gone.
        pod.netns.clone().remove().unwrap();
        succeeded(&node.del(&pod, "eth0", &config));
        assert_eq!(node.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn c073_del_does_not_touch_another_containers_namespace_at_the_same_path() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(macvlan())] {
        let old = node.known_pod("a", "");
        succeeded(&node.add(&old, "eth0", &config));
        old.netns.clone().remove().unwrap();
        let mut new = node.pod("a");
        new.container_id = "the-next-container".into();
        let other = with(macvlan(), "name", json!("other"));
        let result = succeeded(&node.add(&new, "eth0", &other));
        let before = snapshot::take(&node.host, &[&new]);
        // The path in the environment leads to the new container now.
        succeeded(&node.del(&old, "eth0", &config));
        succeeded(&node.check(&new, "eth0", &other, &result));
        let kept = |line: &&String| !line.contains(&old.container_id) && !line.contains("last_reserved");
        let after = snapshot::take(&node.host, &[&new]);
        assert!(before.iter().filter(kept).all(|line| after.contains(line)), "{before:#?}\n{after:#?}");
        assert!(after.iter().all(|line| !line.contains(&old.container_id)), "{after:#?}");
        succeeded(&node.del(&new, "eth0", &other));
        node.assert_clean(&[&new]);
        new.netns.remove().unwrap();
    }
}

#[test]
fn c074_del_releases_the_address_of_an_interface_that_is_gone() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath(), meta(macvlan())] {
        let pod = node.known_pod("a", "");
        succeeded(&node.add(&pod, "eth0", &config));
        pod.netns.ip(&["link", "del", "eth0"]).unwrap();
        succeeded(&node.del(&pod, "eth0", &config));
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
    }
}

#[test]
fn c075_a_foreign_ipam_gets_its_del_although_interface_and_namespace_are_gone() {
    let Some(node) = Node::start() else { return };
    let ipam = node.plugin("rich-ipam", &crate::support::plugin::ipam_body("10.77.0.5/24"));
    for config in [macvlan(), fastpath()] {
        let config = with(config, "ipam", json!({"type": "rich-ipam"}));
        let pod = node.pod("a");
        succeeded(&node.add(&pod, "eth0", &config));
        pod.netns.ip(&["link", "del", "eth0"]).unwrap();
        succeeded(&node.del(&pod, "eth0", &config));
        succeeded(&node.add(&pod, "eth0", &config));
        pod.netns.clone().remove().unwrap();
        succeeded(&node.del(&pod, "eth0", &config));
        node.assert_clean(&[]);
    }
    assert_eq!(ipam.verbs(), ["ADD", "DEL"].repeat(4));
}

#[test]
fn c076_an_error_of_a_delegate_is_told_after_everything_else_is_released() {
    let Some(node) = Node::start() else { return };
    let body = r#"case "$CNI_COMMAND" in
ADD) printf '{"cniVersion":"1.1.0","ips":[{"address":"10.77.0.5/24"}]}' ;;
DEL) printf '{"code":778,"msg":"cannot release"}'; exit 1 ;;
esac"#;
    node.plugin("poor-ipam", body);
    let pod = node.pod("a");
    for config in [macvlan(), fastpath()] {
        let config = with(config, "ipam", json!({"type": "poor-ipam"}));
        succeeded(&node.add(&pod, "eth0", &config));
        let text = failed(&node.del(&pod, "eth0", &config), Code::Other(778));
        assert!(text.contains("cannot release"), "{text}");
        assert!(link(&pod.netns, "eth0").is_none());
        node.plugin("poor-ipam", "exit 0");
        succeeded(&node.del(&pod, "eth0", &config));
        node.plugin("poor-ipam", body);
        node.assert_clean(&[&pod]);
    }
}

#[test]
fn c078_del_goes_by_what_add_recorded_not_by_what_the_network_says_now() {
    let Some(node) = Node::start() else { return };
    node.network("one", &macvlan());
    node.network("two", &fastpath());
    let config = meta(with(macvlan(), "name", json!("default")));
    let manifests = node.host.manifests_dir();
    for gone in [false, true] {
        let pod = node.known_pod("a", "one,two");
        wait::until("both networks are attached", || {
            (node.add(&pod, "eth0", &config).code == 0).then_some(())
        });
        assert!(link(&pod.netns, "net1").is_some() && link(&pod.netns, "net2").is_some());
        if gone {
            for entry in std::fs::read_dir(&manifests).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        } else {
            let mut other = fastpath();
            other["ipam"]["ranges"] = json!([[{"subnet": "10.99.0.0/24"}]]);
            other["name"] = json!("elsewhere");
            for name in ["one", "two"] {
                write_network(&manifests, "default", name, &other).unwrap();
            }
        }
        let changed = meta(json!({"type": "fastpath", "name": "another"}));
        succeeded(&node.del(&pod, "eth0", &changed));
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
        node.network("one", &macvlan());
        node.network("two", &fastpath());
    }
}

#[test]
fn c080_a_del_while_plexusd_is_away_is_made_up_for_once() {
    let Some(mut node) = Node::start() else { return };
    let ipam = node.plugin("rich-ipam", &crate::support::plugin::ipam_body("10.77.0.5/24"));
    let foreign = with(fastpath(), "ipam", json!({"type": "rich-ipam"}));
    let pods = [node.known_pod("a", ""), node.known_pod("b", ""), node.known_pod("c", "")];
    let configs = [meta(macvlan()), with(fastpath(), "name", json!("second")), meta(foreign)];
    let configs = [configs[0].clone(), with(configs[1].clone(), "vlan", json!(101)), configs[2].clone()];
    for (pod, config) in pods.iter().zip(&configs) {
        succeeded(&node.add(pod, "eth0", config));
    }
    assert!(node.plexusd.stop().unwrap().success());
    for (pod, config) in pods.iter().zip(&configs) {
        succeeded(&node.del(pod, "eth0", config));
        succeeded(&node.del(pod, "eth0", config));
    }
    node.plexusd.restart().unwrap();
    // What only a shim can execute waits for the next one.
    assert_eq!(ipam.verbs(), ["ADD"]);
    succeeded(&node.del(&pods[0], "eth0", &configs[0]));
    assert_eq!(ipam.verbs(), ["ADD", "DEL"]);
    node.assert_clean(&[&pods[0], &pods[1], &pods[2]]);
    assert!(std::fs::read_dir(node.host.state_dir().join("spool")).unwrap().next().is_none());
}

#[test]
fn c082_what_others_share_stays_until_the_last_one_goes() {
    let Some(node) = Node::start() else { return };
    let config = fastpath();
    let pods = [node.pod("a"), node.pod("b"), node.pod("c")];
    let results = pods.each_ref().map(|pod| succeeded(&node.add(pod, "net1", &config)));
    succeeded(&node.del(&pods[0], "net1", &config));
    for at in [1, 2] {
        succeeded(&node.check(&pods[at], "net1", &config, &results[at]));
    }
    let other = addresses(&pods[2].netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
    assert!(ping(&pods[1].netns, other, 2).unwrap().all_answered());
    succeeded(&node.del(&pods[1], "net1", &config));
    succeeded(&node.check(&pods[2], "net1", &config, &results[2]));
    succeeded(&node.del(&pods[2], "net1", &config));
    node.assert_clean(&[&pods[0], &pods[1], &pods[2]]);
}

#[test]
fn c084_c120_a_container_whose_del_never_comes_is_released() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let staying = node.known_pod("b", "");
    let config = meta(macvlan());
    succeeded(&node.add(&pod, "eth0", &config));
    let result = succeeded(&node.add(&staying, "eth0", &config));
    pod.netns.clone().remove().unwrap();
    wait::until("the container without a namespace is released", || {
        (node.leases("lan").len() == 1).then_some(())
    });
    succeeded(&node.check(&staying, "eth0", &config, &result));
    succeeded(&node.del(&staying, "eth0", &config));
    node.assert_clean(&[&staying]);
}
