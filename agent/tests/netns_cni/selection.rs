//! What a pod's annotation may ask of a network, and what the kernel has then.

use plexus_agent::lab::Pod;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::meta::{default_only, network_status};
use crate::support::kernel::{addresses, default_routes, link};
use crate::support::plugin::{PASS_ON, ipam_body};
use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, wait, with};

/// A node that knows these networks, and a pod that selects them by this annotation.
fn node_and_pod(networks: &[(&str, Value)], annotation: &Value) -> Option<(Node, Pod)> {
    let node = Node::start()?;
    for (name, config) in networks {
        node.network(name, config);
    }
    let pod = node.known_pod("a", &annotation.to_string());
    Some((node, pod))
}

/// The ADD's outcome, once plexusd knows the networks.
fn add(node: &Node, pod: &Pod, config: &Value) -> plexus_agent::lab::Outcome {
    wait::until("the networks are known", || {
        let outcome = node.add(pod, "eth0", config);
        (!outcome.stdout.contains("does not exist")).then_some(outcome)
    })
}

#[test]
fn c065_ips_mac_and_interface_of_the_annotation_are_honoured() {
    let networks = [
        ("lan", with(macvlan(), "capabilities", json!({"ips": true, "mac": true}))),
        ("blue", with(fastpath(), "capabilities", json!({"ips": true, "mac": true}))),
        ("plain", with(macvlan(), "name", json!("plain"))),
    ];
    let annotation = json!([
        {"name": "lan", "ips": ["10.1.0.50/24"], "mac": "02:00:00:00:00:50", "interface": "data0"},
        {"name": "blue", "namespace": "default", "ips": ["10.2.0.51"], "mac": "02:00:00:00:00:51"},
        {"name": "plain", "ips": ["10.1.0.52"], "mac": "02:00:00:00:00:52", "interface": "data2"},
    ]);
    let Some((node, pod)) = node_and_pod(&networks, &annotation) else { return };
    let result = succeeded(&add(&node, &pod, &default_only()));
    for (ifname, address, mac) in [
        ("data0", "10.1.0.50/24", "02:00:00:00:00:50"),
        ("net2", "10.2.0.51/24", "02:00:00:00:00:51"),
        ("data2", "10.1.0.52/24", "02:00:00:00:00:52"),
    ] {
        assert_eq!(addresses(&pod.netns, ifname), [address]);
        assert_eq!(link(&pod.netns, ifname).unwrap()["address"], mac);
    }
    // What the selection asks for is not meant for the default network.
    assert_eq!(addresses(&pod.netns, "eth0"), ["10.1.0.2/24"]);
    assert_eq!(network_status(&node)[2]["interface"], "net2");
    succeeded(&node.check(&pod, "eth0", &default_only(), &result));
    succeeded(&node.del(&pod, "eth0", &default_only()));
    node.assert_clean(&[&pod]);
}

#[test]
fn c065_an_address_that_cannot_be_given_is_refused_with_its_holder() {
    let networks = [("lan", with(macvlan(), "name", json!("lan2")))];
    let annotation = json!([{"name": "lan", "ips": ["10.1.0.50"]}]);
    let Some((node, pod)) = node_and_pod(&networks, &annotation) else { return };
    succeeded(&add(&node, &pod, &default_only()));
    let second = node.known_pod("b", &annotation.to_string());
    let text = failed(&node.add(&second, "eth0", &default_only()), Code::AddressUnavailable);
    assert!(text.contains("10.1.0.50") && text.contains(&pod.container_id), "{text}");
    let third = node.known_pod("c", &json!([{"name": "lan", "ips": ["10.99.0.1"]}]).to_string());
    let text = failed(&node.add(&third, "eth0", &default_only()), Code::AddressUnavailable);
    assert!(text.contains("10.99.0.1") && text.contains("10.1.0."), "{text}");
    succeeded(&node.del(&pod, "eth0", &default_only()));
    node.assert_clean(&[&pod, &second, &third]);
}

#[test]
fn the_default_route_moves_to_the_network_that_asks_for_it() {
    let networks = [("blue", fastpath()), ("lan", macvlan())];
    let annotation = json!([{"name": "lan"}, {"name": "blue", "default-route": ["10.2.0.254"]}]);
    let Some((node, pod)) = node_and_pod(&networks, &annotation) else { return };
    let result = succeeded(&add(&node, &pod, &default_only()));
    let [route] = default_routes(&pod.netns).try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!((&route["dev"], &route["gateway"]), (&json!("net2"), &json!("10.2.0.254")));
    assert!(result.get("routes").is_none(), "the default network lost its route: {result}");
    let status = network_status(&node);
    assert_eq!(status[2]["gateway"], json!(["10.2.0.254"]));
    assert!(status[0].get("gateway").is_none() && status[1].get("gateway").is_none(), "{status}");
    succeeded(&node.check(&pod, "eth0", &default_only(), &result));
    succeeded(&node.del(&pod, "eth0", &default_only()));
    node.assert_clean(&[&pod]);
}

#[test]
fn c065_a_limit_of_the_annotation_reaches_the_port() {
    let limited = json!({
        "cniVersion": "1.1.0", "name": "blue",
        "plugins": [fastpath(), {"type": "bandwidth", "capabilities": {"bandwidth": true}}],
    });
    let limits = json!({"ingressRate": 2_000_000, "ingressBurst": 200_000, "egressRate": 3_000_000, "egressBurst": 300_000});
    let annotation = json!([{"name": "blue", "bandwidth": limits}]);
    let Some((node, pod)) = node_and_pod(&[("blue", limited)], &annotation) else { return };
    let result = succeeded(&add(&node, &pod, &default_only()));
    let ports = node.query(&Query::Ports);
    let port = ports.as_array().unwrap().iter().find(|port| port["interface"] == "net1").unwrap();
    assert_eq!(
        (&port["ingress"]["rateBps"], &port["egress"]["rateBps"]),
        (&json!(2_000_000), &json!(3_000_000))
    );
    succeeded(&node.check(&pod, "eth0", &default_only(), &result));
    succeeded(&node.del(&pod, "eth0", &default_only()));
    node.assert_clean(&[&pod]);
}

#[test]
fn cni_args_of_the_annotation_reach_every_plugin_of_the_chain() {
    let foreign = json!({
        "cniVersion": "1.0.0", "name": "foreign",
        "plugins": [
            {"type": "vendor-main", "args": {"cni": {"kept": 1}}},
            {"type": "vendor-chained", "capabilities": {"ips": true}, "big": 12_345_678_901_234_567_890_u64},
        ],
    });
    let annotation = json!([{"name": "foreign", "cni-args": {"tenant": "t1"}, "ips": ["10.77.0.9/24"], "mac": "02:00:00:00:00:09"}]);
    let Some((node, pod)) = node_and_pod(&[("foreign", foreign)], &annotation) else { return };
    let (main, chained) =
        (node.plugin("vendor-main", &ipam_body("10.77.0.9/24")), node.plugin("vendor-chained", PASS_ON));
    succeeded(&add(&node, &pod, &default_only()));
    let (first, second) = (&main.calls()[0], &chained.calls()[0]);
    assert_eq!(first.config["args"], json!({"cni": {"kept": 1, "tenant": "t1"}}));
    assert_eq!(second.config["args"], json!({"cni": {"tenant": "t1"}}));
    assert!(first.config.get("runtimeConfig").is_none() && first.config.get("prevResult").is_none());
    assert_eq!(second.config["runtimeConfig"], json!({"ips": ["10.77.0.9/24"]}));
    assert_eq!(second.config["prevResult"]["ips"][0]["address"], "10.77.0.9/24");
    assert_eq!(second.config["big"].to_string(), "12345678901234567890");
    for seen in [first, second] {
        assert_eq!((&seen.config["name"], &seen.config["cniVersion"]), (&json!("foreign"), &json!("1.0.0")));
        for part in ["K8S_POD_NAME=a", "IP=10.77.0.9/24", "MAC=02:00:00:00:00:09", "IgnoreUnknown=true"] {
            assert!(seen.args.contains(part), "{part} is not in {}", seen.args);
        }
    }
    succeeded(&node.del(&pod, "eth0", &default_only()));
    assert_eq!(
        (main.verbs(), chained.verbs()),
        (vec!["ADD".into(), "DEL".into()], vec!["ADD".to_owned(), "DEL".into()])
    );
    node.assert_clean(&[&pod]);
}

#[test]
fn c014_what_no_plugin_can_honour_is_refused_and_nothing_is_attached() {
    let Some(node) = Node::start() else { return };
    node.network("lan", &macvlan());
    let cases = [
        (
            json!([{"name": "lan", "bandwidth": {"ingressRate": 1_000_000}}]),
            Code::UnsupportedField,
            "bandwidth",
        ),
        (
            json!([{"name": "lan", "infiniband-guid": "c2:11:22:33:44:55:66:77"}]),
            Code::UnsupportedField,
            "infiniband-guid",
        ),
        (json!([{"name": "lan", "interface": "sixteen-letters-"}]), Code::InvalidConfig, "interface"),
        (json!([{"name": "lan", "interface": "eth0"}]), Code::InvalidConfig, "eth0"),
        (
            json!([{"name": "lan", "interface": "x"}, {"name": "lan", "interface": "x"}]),
            Code::InvalidConfig,
            "twice",
        ),
        (json!([{"name": "../lan"}]), Code::InvalidConfig, "name"),
        (json!([{"name": "lan", "namespace": "../x"}]), Code::InvalidConfig, "namespace"),
        (json!([{"name": "lan", "ips": ["10.1.0.300"]}]), Code::InvalidConfig, "ips"),
        (json!([{"name": "lan", "mac": "not-a-mac"}]), Code::InvalidConfig, "mac"),
        (
            json!([{"name": "lan", "default-route": ["10.1.0.1", "10.1.0.2"]}]),
            Code::InvalidConfig,
            "default-route",
        ),
    ];
    for (at, (annotation, code, field)) in cases.into_iter().enumerate() {
        let pod = node.known_pod(&format!("p{at}"), &annotation.to_string());
        let text = failed(&add(&node, &pod, &default_only()), code);
        assert!(text.contains(field) && text.contains(&format!("default/p{at}")), "{annotation}: {text}");
        node.assert_clean(&[&pod]);
    }
}

#[test]
fn limits_and_defaults_of_the_meta_config_reach_pods() {
    let Some(node) = Node::start() else { return };
    plexus_agent::lab::manifests::write_network(
        &node.host.manifests_dir(),
        "kube-system",
        "extra",
        &fastpath(),
    )
    .unwrap();
    let config = with(default_only(), "defaultNetworks", json!(["extra"]));
    let pod = node.known_pod("a", "");
    succeeded(&add(&node, &pod, &config));
    assert_eq!(addresses(&pod.netns, "net1"), ["10.2.0.2/24"]);
    succeeded(&node.del(&pod, "eth0", &config));
    let cluster =
        json!({"cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "clusterNetwork": "extra"});
    let result = succeeded(&node.add(&pod, "eth0", &cluster));
    assert_eq!(result["ips"][0]["address"], "10.2.0.3/24");
    succeeded(&node.del(&pod, "eth0", &cluster));
    node.assert_clean(&[&pod]);
    let unknown =
        json!({"cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "clusterNetwork": "nowhere"});
    assert!(failed(&node.add(&pod, "eth0", &unknown), Code::NetworkNotFound).contains("nowhere"));
    failed(&node.add(&pod, "eth0", &meta(json!({"type": "../macvlan"}))), Code::InvalidConfig);
}
