//! CNI's verbs, from a config to the store.

use plexus_cni::Code;
use plexus_cni::args::CniArgs;
use plexus_cni::json::Object;
use serde_json::{Value, json};

use super::*;
use crate::ipam::testing::request;
use crate::ipam::whereabouts::{Cluster, add, check, del, gc, status, validate};
use crate::ipam::{Ipam, IpamRequest, IpamResult};

fn config(ipam: Value) -> Object {
    let mut ipam = ipam;
    ipam["type"] = json!("whereabouts");
    let config = json!({"cniVersion": "1.1.0", "name": "n", "type": "macvlan", "ipam": ipam});
    config.as_object().unwrap().clone()
}

fn dual() -> Value {
    json!({
        "range": "10.0.0.0/16", "exclude": ["10.0.0.0/17"], "gateway": "10.0.128.1", "node_slice_size": "/24",
        "ipRanges": [{"range": "fd00::/64"}], "addresses": [{"address": "192.168.0.9/24"}],
        "routes": [{"dst": "10.9.0.0/16"}],
    })
}

fn args() -> CniArgs {
    CniArgs::parse("K8S_POD_NAMESPACE=default;K8S_POD_NAME=p;K8S_POD_UID=u").unwrap()
}

struct Agent {
    api: Arc<MemoryPools>,
    cluster: Cluster,
    _dir: TempDir,
}

impl Agent {
    fn new() -> Self {
        let (api, dir) = (Arc::new(MemoryPools::default()), tempfile::tempdir().unwrap());
        let cluster = Cluster::new(Arc::clone(&api) as Arc<dyn PoolStore>, "a".into(), None, dir.path());
        Self { api, cluster, _dir: dir }
    }

    fn ask<T>(&self, config: &Object, container: &str, verb: impl FnOnce(&IpamRequest) -> T) -> T {
        let args = args();
        let asked =
            IpamRequest { cluster: Some(&self.cluster), container_id: container, ..request(config, &args) };
        verb(&asked)
    }

    fn checked(&self, config: &Object, container: &str, result: &IpamResult) -> Result<(), CniError> {
        let ips: Vec<Value> =
            result.ips.iter().map(|ip| json!({"address": ip.address.to_string()})).collect();
        let mut config = config.clone();
        config.insert("prevResult".into(), json!({"cniVersion": "1.1.0", "ips": ips}));
        self.ask(&config, container, check)
    }
}

fn addresses(result: &IpamResult) -> Vec<String> {
    result.ips.iter().map(|ip| ip.address.to_string()).collect()
}

#[test]
fn an_add_gives_both_families_and_the_static_addresses_and_a_warm_one_asks_nobody() {
    let (agent, config) = (Agent::new(), config(dual()));
    assert_eq!(Ipam::chosen(config["ipam"].as_object().unwrap(), true), Some(Ipam::Whereabouts));
    agent.ask(&config, "c1", validate).unwrap();
    let first = agent.ask(&config, "c1", add).unwrap();
    let given = addresses(&first);
    assert!(given[0].ends_with("/16") && given[1].ends_with("/64"), "{given:?}");
    assert_eq!(given[2], "192.168.0.9/24");
    assert!(first.ips[0].address.addr() >= "10.0.128.0".parse::<IpAddr>().unwrap(), "{given:?}");
    assert_eq!(first.ips[0].gateway, Some("10.0.128.1".parse().unwrap()));
    assert_eq!(first.routes.len(), 1);
    let names: Vec<String> = agent.api.content().slice_pools.into_keys().collect();
    assert_eq!(names, ["n", "n-fd00---64"]);
    let count = agent.api.count();
    assert_eq!(addresses(&agent.ask(&config, "c1", add).unwrap()), given);
    agent.checked(&config, "c1", &first).unwrap();
    agent.ask(&config, "c1", status).unwrap();
    agent.ask(&config, "c1", del).unwrap();
    agent.ask(&config, "c1", del).unwrap();
    assert_eq!(agent.checked(&config, "c1", &first).unwrap_err().code, Code::CheckFailed);
    let again = agent.ask(&config, "c2", add).unwrap();
    assert_ne!(addresses(&again)[..2], given[..2]);
    assert_eq!(agent.api.count(), count);
}

#[test]
fn gc_keeps_what_is_valid_and_del_needs_no_api_server() {
    let (agent, config) = (Agent::new(), config(dual()));
    agent.ask(&config, "c1", add).unwrap();
    agent.ask(&config, "c1", |request| gc(request, &[("c1".into(), "net1".into())], &[])).unwrap();
    assert_eq!(agent.cluster.slices().unwrap().held_by("c1", "net1").len(), 2);
    agent.ask(&config, "c1", |request| gc(request, &[], &[])).unwrap();
    assert!(agent.cluster.slices().unwrap().held_by("c1", "net1").is_empty());
    agent.ask(&config, "c2", add).unwrap();
    agent.api.die(0, crate::lab::pool_store::Fault::Before);
    agent.ask(&config, "c2", del).unwrap();
    assert!(agent.cluster.slices().unwrap().held_by("c2", "net1").is_empty());
}

#[test]
fn a_size_that_cannot_cut_the_range_is_refused_before_anything_is_touched() {
    let agent = Agent::new();
    for (key, value) in [("node_slice_size", "/8"), ("network_name", "Upper_Case")] {
        let mut ipam = dual();
        ipam[key] = json!(value);
        let error = agent.ask(&config(ipam), "c", validate).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig, "{key}");
    }
    assert_eq!(agent.api.count(), 0);
}

#[test]
fn a_full_pool_is_unavailable_to_status() {
    let agent = Agent::new();
    let config = config(json!({"range": "10.0.0.0/30", "node_slice_size": "/30"}));
    for container in ["c1", "c2"] {
        let args = CniArgs::parse("K8S_POD_NAMESPACE=default;K8S_POD_NAME=p").unwrap();
        let asked =
            IpamRequest { cluster: Some(&agent.cluster), container_id: container, ..request(&config, &args) };
        add(&asked).unwrap();
    }
    assert_eq!(agent.ask(&config, "c3", add).unwrap_err().code, Code::RangeExhausted);
    assert_eq!(agent.ask(&config, "c3", status).unwrap_err().code, Code::Unavailable);
}

#[test]
fn what_is_allocated_one_by_one_keeps_off_the_slices_that_nodes_have() {
    let agent = Agent::new();
    let fast = config(json!({"range": "10.0.0.0/24", "node_slice_size": "/25"}));
    let classic = config(json!({"range": "10.0.0.0/24"}));
    let first = agent.ask(&fast, "c1", add).unwrap().ips[0].address.addr();
    let slice: ipnet::IpNet = ["10.0.0.0/25", "10.0.0.128/25"]
        .map(|slice| slice.parse::<ipnet::IpNet>().unwrap())
        .into_iter()
        .find(|slice| slice.contains(&first))
        .unwrap();
    let given = agent.ask(&classic, "c2", add).unwrap().ips[0].address.addr();
    assert!(!slice.contains(&given), "{given} is in {slice}");
    let mut wanted = classic.clone();
    wanted.insert("runtimeConfig".into(), json!({"ips": [first.to_string()]}));
    let error = agent.ask(&wanted, "c3", add).unwrap_err();
    assert!(error.code == Code::AddressUnavailable && error.details.contains(&slice.to_string()), "{error}");
    let apart = config(json!({"range": "10.0.0.0/24", "network_name": "blue"}));
    assert_eq!(agent.ask(&apart, "c4", add).unwrap().ips[0].address.addr().to_string(), "10.0.0.1");
}
