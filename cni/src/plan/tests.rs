//! Plans for pods and networks in memory.

mod devices;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::devices::PodDevices;
use crate::env::Command;
use crate::nad::NetworkAttachmentDefinition;
use crate::wire::WIRE_VERSION;

/// NetworkAttachmentDefinitions and CNI files in memory.
#[derive(Default)]
struct Known {
    nads: BTreeMap<(String, String), NetworkAttachmentDefinition>,
    files: BTreeMap<String, String>,
    chains: BTreeMap<String, Vec<Object>>,
    devices: Option<PodDevices>,
}

impl Known {
    fn nad(mut self, namespace: &str, name: &str, config: &Value) -> Self {
        let nad = NetworkAttachmentDefinition {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            config: Some(config.to_string()).filter(|_| !config.is_null()),
            ..NetworkAttachmentDefinition::default()
        };
        self.nads.insert((namespace.to_owned(), name.to_owned()), nad);
        self
    }

    fn file(mut self, name: &str, config: &Value) -> Self {
        self.files.insert(name.to_owned(), config.to_string());
        self
    }
}

impl Lookup for Known {
    fn nad(&self, namespace: &str, name: &str) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
        Ok(self.nads.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    fn has_nad(&self, namespace: &str, name: &str) -> bool {
        self.nads.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    fn file(&self, reference: &str) -> Result<Option<String>, CniError> {
        Ok(self.files.get(reference).cloned())
    }

    fn auxiliary(&self, cluster_network: &str, name: &str) -> Result<Vec<Object>, CniError> {
        assert!(cluster_network.starts_with('/'));
        Ok(self.chains.get(name).cloned().unwrap_or_default())
    }

    fn devices(&self) -> Result<Option<PodDevices>, CniError> {
        Ok(self.devices.clone())
    }
}

fn macvlan() -> Value {
    json!({"type": "macvlan", "master": "m0", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}})
}

fn meta(more: &Value) -> MetaConfig {
    let mut config = json!({"cniVersion": "1.0.0", "name": "meta", "type": "plexus", "delegates": [{"name": "lab", "type": "bridge"}]});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    MetaConfig::parse(&config.to_string(), &Object::new()).unwrap()
}

fn pod(annotations: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: "pod-ns".into(),
        name: "p".into(),
        uid: "uid-1".into(),
        annotations: annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Pod::default()
    }
}

fn call(args: &str) -> CniCall {
    CniCall {
        wire_version: WIRE_VERSION,
        serves_sysctls: false,
        command: Command::Add,
        container_id: "cid".into(),
        netns: Some("/n".into()),
        ifname: "eth0".into(),
        args: args.into(),
        path: vec![],
        config: String::new(),
    }
}

/// The plan for a pod with this networks annotation.
fn plan_for(more: &Value, networks: &str, known: &Known) -> Result<Vec<PlannedAttachment>, CniError> {
    plan(&meta(more), Some(&pod(&[(NETWORKS, networks)])), known, &call("")).map(|plan| plan.attachments)
}

fn ifnames(attachments: &[PlannedAttachment]) -> Vec<&str> {
    attachments.iter().map(|attachment| &*attachment.ifname).collect()
}

#[test]
fn the_default_network_comes_first_and_others_are_numbered_by_their_place() {
    let known = Known::default().nad("pod-ns", "a", &macvlan()).nad("other", "b", &macvlan()).nad(
        "kube-system",
        "d",
        &macvlan(),
    );
    let attachments = plan_for(&json!({"defaultNetworks": ["d"]}), "a@data0,other/b", &known).unwrap();
    assert_eq!(ifnames(&attachments), ["eth0", "net1", "data0", "net3"]);
    assert!(attachments[0].is_default && attachments.iter().filter(|one| one.is_default).count() == 1);
    let names: Vec<_> = attachments.iter().map(PlannedAttachment::status_name).collect();
    assert_eq!(names, ["lab", "kube-system/d", "pod-ns/a", "other/b"]);
}

#[test]
fn a_nad_without_name_and_version_inherits_them() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let attachments = plan_for(&json!({}), "a", &known).unwrap();
    assert_eq!((&*attachments[1].network.name, attachments[1].network.version.as_str()), ("a", "1.0.0"));
}

#[test]
fn a_nad_without_config_means_the_cni_file_of_its_name() {
    let known = Known::default().nad("pod-ns", "a", &Value::Null);
    assert_eq!(plan_for(&json!({}), "a", &known).unwrap_err().code, Code::NetworkNotFound);
    let known = known.file("a", &json!({"name": "from-file", "type": "ptp"}));
    assert_eq!(plan_for(&json!({}), "a", &known).unwrap()[1].network.name, "from-file");
}

#[test]
fn the_cluster_network_is_a_nad_or_a_file() {
    let more = json!({"clusterNetwork": "lab"});
    let known = Known::default().file("lab", &json!({"name": "lab", "type": "ptp"}));
    assert_eq!(plan_for(&more, "", &known).unwrap()[0].nad, None);
    let known = known.nad("kube-system", "lab", &macvlan());
    assert_eq!(plan_for(&more, "", &known).unwrap()[0].status_name(), "kube-system/lab");
    let error = plan_for(&json!({"clusterNetwork": "absent"}), "", &known).unwrap_err();
    assert!(error.code == Code::NetworkNotFound && error.msg.contains("clusterNetwork"), "{error}");
}

#[test]
fn a_pod_of_a_system_namespace_gets_no_default_networks() {
    let known = Known::default().nad("kube-system", "d", &macvlan());
    let more = json!({"defaultNetworks": ["d"], "systemNamespaces": ["pod-ns"]});
    assert_eq!(plan_for(&more, "", &known).unwrap().len(), 1);
}

#[test]
fn an_annotation_replaces_the_default_network() {
    let known = Known::default().nad("kube-system", "other", &macvlan());
    let pod = pod(&[(DEFAULT_NETWORK, "other")]);
    let plan = plan(&meta(&json!({})), Some(&pod), &known, &call("")).unwrap();
    assert_eq!(
        (plan.attachments[0].status_name(), &*plan.attachments[0].ifname),
        ("kube-system/other".into(), "eth0")
    );
}

#[test]
fn two_default_networks_are_refused() {
    let pod = pod(&[(DEFAULT_NETWORK, "a,b")]);
    let error = plan(&meta(&json!({})), Some(&pod), &Known::default(), &call("")).unwrap_err();
    assert!(error.msg.contains(DEFAULT_NETWORK) && error.msg.contains("pod-ns/p"), "{error}");
}

#[test]
fn isolation_allows_the_own_and_the_global_namespaces_only() {
    let known = Known::default().nad("pod-ns", "a", &macvlan()).nad("default", "g", &macvlan()).nad(
        "other",
        "b",
        &macvlan(),
    );
    let more = json!({"namespaceIsolation": true});
    assert_eq!(plan_for(&more, "a,default/g", &known).unwrap().len(), 3);
    for foreign in ["other/b", "other/does-not-exist"] {
        let error = plan_for(&more, foreign, &known).unwrap_err();
        assert_eq!(error.code, Code::NotAuthorized, "nobody learns what exists elsewhere: {error}");
    }
    let more = json!({"namespaceIsolation": true, "globalNamespaces": "other"});
    assert!(plan_for(&more, "other/b", &known).is_ok() && plan_for(&more, "default/g", &known).is_err());
}

#[test]
fn isolation_holds_for_the_default_network_annotation_too() {
    let known = Known::default().nad("other", "b", &macvlan()).nad("kube-system", "c", &macvlan());
    let meta = meta(&json!({"namespaceIsolation": true}));
    let planned = |name| plan(&meta, Some(&pod(&[(DEFAULT_NETWORK, name)])), &known, &call(""));
    assert_eq!(planned("other/b").unwrap_err().code, Code::NotAuthorized);
    assert!(planned("kube-system/c").is_ok());
}

#[test]
fn the_auxiliary_chain_comes_last_and_only_where_it_has_a_file() {
    let path = "/etc/cni/net.d/10-main.conflist";
    let more = json!({"clusterNetwork": path, "auxiliaryCNIChainName": "vendor"});
    let mut known =
        Known::default().file(path, &json!({"name": "main", "type": "ptp"})).nad("pod-ns", "a", &macvlan());
    assert_eq!(ifnames(&plan_for(&more, "a", &known).unwrap()), ["eth0", "net1"]);
    known.chains.insert("vendor".into(), vec![json!({"type": "audit"}).as_object().unwrap().clone()]);
    let attachments = plan_for(&more, "a", &known).unwrap();
    assert_eq!(ifnames(&attachments), ["eth0", "net1", "net2"]);
    assert_eq!(
        (attachments[2].status_name(), attachments[2].network.version.as_str()),
        ("vendor".into(), "1.0.0")
    );
    let types: Vec<_> =
        attachments[2].network.plugins.iter().map(|plugin| plugin.plugin_type().to_owned()).collect();
    assert_eq!(types, ["passthru", "audit"]);
    known.chains.insert("vendor".into(), vec![Object::new()]);
    let error = plan_for(&more, "a", &known).unwrap_err();
    assert!(error.msg.contains("auxiliaryCNIChainName") && error.msg.contains("vendor"), "{error}");
}

#[test]
fn a_claim_is_for_the_address_management_that_reads_the_annotation_itself() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let attachments =
        plan_for(&json!({}), r#"[{"name":"a","ipam-claim-reference":"claim"}]"#, &known).unwrap();
    assert_eq!(attachments[1].selection.as_ref().unwrap().ipam_claim_reference.as_deref(), Some("claim"));
}

#[test]
fn a_bad_element_among_good_ones_is_named_with_pod_network_and_interface() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let error = plan_for(&json!({}), "a,nope@data0,a", &known).unwrap_err();
    for part in ["pod-ns/p", "element 1", "pod-ns/nope", "data0"] {
        assert!(error.msg.contains(part), "{error}");
    }
    let error = plan_for(&json!({}), r#"[{"name":"a"},{"name":"a","bandwidth":{"ingressRate":1}}]"#, &known)
        .unwrap_err();
    for part in ["pod-ns/p", "element 1", "pod-ns/a", "net2", "bandwidth"] {
        assert!(error.msg.contains(part), "{error}");
    }
    let error =
        plan_for(&json!({}), r#"[{"name":"a"},{"name":"a","ips":["10.0.0.300"]}]"#, &known).unwrap_err();
    for part in ["pod-ns/p", "element 1", "(a)", "ips", "10.0.0.300"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_empty_default_route_keeps_the_networks_own_and_an_absent_one_gives_way() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let networks = r#"[{"name":"a","default-route":[]},{"name":"a"},{"name":"a","default-route":["10.0.0.1","fd00::1"]}]"#;
    let attachments = plan_for(&json!({}), networks, &known).unwrap();
    let removes =
        |at: usize| (attachments[at].default_route.removes_v4, attachments[at].default_route.removes_v6);
    assert_eq!([removes(0), removes(1), removes(2)], [(true, true), (false, false), (true, true)]);
    assert_eq!(attachments[3].default_route.adds.len(), 2);
}

#[test]
fn what_the_runtime_read_from_the_pods_bandwidth_annotations_reaches_the_default_network() {
    let limits = json!({"ingressRate": 1_000_000, "ingressBurst": 2_147_483_647});
    let delegates = json!([{"name": "lab", "plugins": [{"type": "bridge"}, {"type": "bandwidth", "capabilities": {"bandwidth": true}}]}]);
    let more = json!({"delegates": delegates, "runtimeConfig": {"bandwidth": limits}});
    let attachments = plan_for(&more, "", &Known::default()).unwrap();
    let network = &attachments[0].network;
    let request = network.plugins[1].request(network, &attachments[0].runtime_config, None);
    assert_eq!(request["runtimeConfig"], json!({"bandwidth": limits}));
}

#[test]
fn duplicate_interface_names_are_refused_with_both_networks() {
    let known = Known::default().nad("pod-ns", "a", &macvlan()).nad("pod-ns", "b", &macvlan());
    for networks in ["a@x,b@x", "a,b@net1", "a@eth0"] {
        let error = plan_for(&json!({}), networks, &known).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig);
        assert!(error.msg.contains("used twice") && error.details.contains("pod-ns/a"), "{error}");
    }
}

#[test]
fn a_network_that_does_not_exist_is_named_with_pod_annotation_and_element() {
    let error = plan_for(&json!({}), "nope", &Known::default()).unwrap_err();
    assert_eq!(error.code, Code::NetworkNotFound);
    for part in ["pod-ns/p", NETWORKS, "element 0", "pod-ns/nope"] {
        assert!(error.msg.contains(part), "{error}");
    }
}

#[test]
fn c065_what_no_plugin_can_honour_is_refused_with_key_and_value() {
    let known = Known::default().nad("pod-ns", "a", &json!({"type": "ipvlan"}));
    for (field, value) in [
        ("bandwidth", json!({"ingressRate": 1000, "ingressBurst": 1000})),
        ("portMappings", json!([{"hostPort": 1, "containerPort": 2}])),
        ("infiniband-guid", json!("24:8a:07:03:00:8d:ae:2e")),
        ("deviceID", json!("0000:03:02.0")),
        ("ips", json!(["10.0.0.5"])),
        ("mac", json!("02:00:00:00:00:01")),
    ] {
        let error =
            plan_for(&json!({}), &json!([{"name": "a", field: value}]).to_string(), &known).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedField, "{field}");
        assert!(error.msg.contains(field) && error.msg.contains(&value.to_string()), "{error}");
    }
}

#[test]
fn the_selection_overrides_the_runtimes_wishes_but_for_the_default_network() {
    let runtimes =
        json!({"runtimeConfig": {"bandwidth": {"egressRate": 5}, "mac": "02:00:00:00:00:ff", "dns": {}}});
    let chain =
        json!({"plugins": [{"type": "macvlan"}, {"type": "bandwidth", "capabilities": {"bandwidth": true}}]});
    let known = Known::default().nad("pod-ns", "a", &chain);
    let networks = r#"[{"name":"a","bandwidth":{"ingressRate":7,"ingressBurst":7}},{"name":"a","mac":"02:00:00:00:00:01"}]"#;
    let attachments = plan_for(&runtimes, networks, &known).unwrap();
    assert_eq!(Value::Object(attachments[0].runtime_config.clone()), runtimes["runtimeConfig"]);
    assert_eq!(attachments[1].runtime_config["bandwidth"], json!({"ingressRate": 7, "ingressBurst": 7}));
    assert!(!attachments[1].runtime_config.contains_key("mac"), "one address cannot be on two interfaces");
    assert_eq!(attachments[2].runtime_config["mac"], "02:00:00:00:00:01");
    assert_eq!(attachments[2].runtime_config["bandwidth"], json!({"egressRate": 5}));
}

#[test]
fn cni_args_are_in_multus_order_and_hold_the_requested_addresses() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let networks = r#"[{"name":"a","ips":["10.0.0.5/24","10.0.0.6"],"mac":"02:00:00:00:00:01"}]"#;
    let args = "IgnoreUnknown=1;IP=10.9.9.9;COLOR=blue;K8S_POD_NAME=p;K8S_POD_NAMESPACE=pod-ns";
    let pod = pod(&[(NETWORKS, networks)]);
    let plan = plan(&meta(&json!({})), Some(&pod), &known, &call(args)).unwrap();
    let text = |at: usize| {
        let pairs = plan.attachments[at].cni_args.iter();
        pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
    };
    let common = "IgnoreUnknown=true;K8S_POD_NAMESPACE=pod-ns;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=cid;K8S_POD_UID=uid-1";
    assert_eq!(text(0), format!("{common};IP=10.9.9.9;COLOR=blue"));
    assert_eq!(text(1), format!("{common};IP=10.0.0.5/24,10.0.0.6;MAC=02:00:00:00:00:01;COLOR=blue"));
}

#[test]
fn cni_args_of_the_element_reach_every_plugin_of_the_list() {
    let chain =
        json!({"plugins": [{"type": "macvlan", "args": {"cni": {"k": 1, "own": 2}}}, {"type": "tuning"}]});
    let known = Known::default().nad("pod-ns", "a", &chain);
    let attachments = plan_for(&json!({}), r#"[{"name":"a","cni-args":{"k":[9]}}]"#, &known).unwrap();
    let plugins = &attachments[1].network.plugins;
    assert_eq!(plugins[0].0["args"], json!({"cni": {"k": [9], "own": 2}}));
    assert_eq!(plugins[1].0["args"], json!({"cni": {"k": [9]}}));
    let known = Known::default().nad("pod-ns", "a", &json!({"type": "x", "args": 1}));
    assert!(
        plan_for(&json!({}), r#"[{"name":"a","cni-args":{}}]"#, &known).unwrap_err().msg.contains("args")
    );
}

#[test]
fn a_default_route_is_taken_from_the_other_networks() {
    let known = Known::default().nad("pod-ns", "a", &macvlan());
    let attachments =
        plan_for(&json!({}), r#"[{"name":"a","default-route":["10.0.0.1"]},{"name":"a"}]"#, &known).unwrap();
    assert!(attachments[0].default_route.removes_v4 && !attachments[0].default_route.removes_v6);
    assert_eq!(attachments[1].default_route.adds.len(), 1);
    let twice = r#"[{"name":"a","default-route":["10.0.0.1"]},{"name":"a","default-route":["10.0.0.1"]}]"#;
    assert!(plan_for(&json!({}), twice, &known).unwrap_err().msg.contains("default-route"));
}

#[test]
fn a_call_without_a_pod_gets_the_administrators_networks() {
    let plan = plan(&meta(&json!({})), None, &Known::default(), &call("IP=10.0.0.9")).unwrap();
    assert_eq!(plan.attachments[0].cni_args, [("IP".to_owned(), "10.0.0.9".to_owned())]);
}

proptest! {
    #[test]
    fn a_plan_keeps_order_has_unique_names_and_authorized_networks_only(
        picks in proptest::collection::vec((0..4_usize, 0..3_usize, proptest::option::of("[a-c]")), 0..8),
        isolated in any::<bool>(),
    ) {
        let namespaces = ["pod-ns", "default", "other", "absent"];
        let mut known = Known::default();
        for namespace in &namespaces[..3] {
            for name in ["n0", "n1", "n2"] {
                known = known.nad(namespace, name, &macvlan());
            }
        }
        let selected: Vec<(String, Option<String>)> = picks
            .into_iter()
            .map(|(namespace, name, interface)| (format!("{}/n{name}", namespaces[namespace]), interface))
            .collect();
        let items: Vec<String> = selected
            .iter()
            .map(|(network, interface)| match interface {
                Some(interface) => format!("{network}@{interface}"),
                None => network.clone(),
            })
            .collect();
        let Ok(attachments) = plan_for(&json!({"namespaceIsolation": isolated}), &items.join(","), &known) else {
            return Ok(());
        };
        let mut names = ifnames(&attachments);
        prop_assert_eq!(names[0], "eth0");
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), attachments.len());
        let planned: Vec<_> = attachments[1..].iter().map(PlannedAttachment::status_name).collect();
        let asked: Vec<_> = selected.into_iter().map(|(network, _)| network).collect();
        prop_assert_eq!(&planned, &asked);
        prop_assert!(!isolated || asked.iter().all(|name| !name.starts_with("other/")));
    }
}
