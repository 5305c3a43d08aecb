//! The verbs on real directories.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use plexus_cni::Code;
use plexus_cni::args::CniArgs;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ipam::Ipam;

/// A throw-away directory of reservations for network `net`.
struct Bench {
    root: tempfile::TempDir,
    allowed: Vec<PathBuf>,
    boot_id: &'static str,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let allowed = vec![root.path().to_owned()];
        Self { root, allowed, boot_id: "this" }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("net")
    }

    fn with<T>(&self, config: &Value, who: (&str, &str), work: impl FnOnce(&IpamRequest) -> T) -> T {
        let args = CniArgs::default();
        work(&IpamRequest {
            network: "net",
            container_id: who.0,
            ifname: who.1,
            config: config.as_object().unwrap(),
            args: &args,
            data_dirs: &self.allowed,
            boot_id: self.boot_id,
            cluster: None,
            deadline: std::time::Instant::now(),
        })
    }

    fn add(&self, config: &Value, who: (&str, &str)) -> Result<Vec<String>, CniError> {
        let result = self.with(config, who, |request| Ipam::HostLocal.add(request))?;
        Ok(result.ips.iter().map(|ip| ip.address.addr().to_string()).collect())
    }

    fn del(&self, config: &Value, who: (&str, &str)) {
        self.with(config, who, |request| Ipam::HostLocal.del(request)).unwrap();
    }

    /// Names of the reservations, sorted.
    fn held(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.dir()) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.parse::<IpAddr>().is_ok()).collect();
        names.sort();
        names
    }
}

fn subnet(text: &str) -> Value {
    json!({"ipam": {"type": "host-local", "subnet": text}})
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_look_as_the_reference_plugin_leaves_them() {
    let bench = Bench::new();
    let config = json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}});
    assert_eq!(bench.add(&config, ("abc", "net1")).unwrap(), ["10.0.0.2", "fd00::2"]);
    let read = |name: &str| fs::read_to_string(bench.dir().join(name)).unwrap();
    assert_eq!(read("10.0.0.2"), "abc\r\nnet1");
    assert_eq!(read("fd00::2"), "abc\r\nnet1");
    assert_eq!(read("last_reserved_ip.0"), "10.0.0.2");
    assert_eq!(read("last_reserved_ip.1"), "fd00::2");
    assert_eq!(mode(&bench.dir().join("10.0.0.2")), 0o600);
    assert_eq!(mode(&bench.dir().join("last_reserved_ip.0")), 0o600);
    assert_eq!(mode(&bench.dir().join("lock")), 0o750);
    assert_eq!(mode(&bench.dir()), 0o755);
}

#[test]
fn c042_a_second_add_is_refused_and_the_first_stays() {
    let bench = Bench::new();
    let mut config = subnet("10.0.0.0/24");
    bench.add(&config, ("a", "net1")).unwrap();
    config["runtimeConfig"] = json!({"ips": ["10.0.0.77"]});
    for config in [&subnet("10.0.0.0/24"), &config] {
        let error = bench.add(config, ("a", "net1")).unwrap_err();
        assert_eq!(error.code, Code::AlreadyAttached);
        assert!(error.msg.contains("10.0.0.2") && error.msg.contains("net1"), "{error}");
    }
    assert_eq!(bench.held(), ["10.0.0.2"]);
    assert_eq!(bench.add(&subnet("10.0.0.0/24"), ("a", "net2")).unwrap(), ["10.0.0.3"]);
}

#[test]
fn c155_del_releases_only_its_own_and_as_often_as_one_likes() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    bench.del(&config, ("a", "net1"));
    assert!(!bench.dir().exists(), "DEL makes no directory");
    for who in [("a", "net1"), ("a", "net2"), ("ab", "net1")] {
        bench.add(&config, who).unwrap();
    }
    for _ in 0..10 {
        bench.del(&config, ("a", "net1"));
    }
    assert_eq!(bench.held(), ["10.0.0.3", "10.0.0.4"]);
}

#[test]
fn del_needs_no_valid_config() {
    let bench = Bench::new();
    bench.add(&subnet("10.0.0.0/24"), ("a", "net1")).unwrap();
    bench.del(&json!({"ipam": {"subnet": "nonsense"}}), ("a", "net1"));
    assert!(bench.held().is_empty());
    bench.del(&json!({"ipam": {"dataDir": "/etc"}}), ("a", "net1"));
}

#[test]
fn del_takes_files_of_an_old_version_only_without_one_of_its_own() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    bench.add(&config, ("a", "net1")).unwrap();
    fs::write(bench.dir().join("10.0.0.9"), "a").unwrap();
    fs::write(bench.dir().join("10.0.0.8"), "b\n").unwrap();
    bench.del(&config, ("a", "net1"));
    assert_eq!(bench.held(), ["10.0.0.8", "10.0.0.9"]);
    bench.del(&config, ("a", "net1"));
    assert_eq!(bench.held(), ["10.0.0.8"]);
}

#[test]
fn an_exhausted_range_says_which_how_large_and_who_holds_it() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/29");
    let status = || bench.with(&config, ("", ""), |request| Ipam::HostLocal.status(request));
    for at in 0..5 {
        assert_eq!(status(), Ok(()));
        bench.add(&config, (&format!("c{at}"), "net1")).unwrap();
    }
    let error = bench.add(&config, ("late", "net1")).unwrap_err();
    assert_eq!(error.code, Code::RangeExhausted);
    for part in ["\"net\"", "10.0.0.1-10.0.0.6", "5 addresses"] {
        assert!(error.msg.contains(part), "{error}");
    }
    assert!(error.details.contains("interface net1") && error.details.contains("and 2 more"), "{error}");
    assert_eq!(status().unwrap_err().code, Code::Unavailable);
    bench.del(&config, ("c3", "net1"));
    assert_eq!(status(), Ok(()));
    assert_eq!(bench.add(&config, ("late", "net1")).unwrap(), ["10.0.0.5"]);
}

#[test]
fn a_failing_set_releases_what_the_sets_before_it_gave() {
    let bench = Bench::new();
    let config = json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "10.0.1.0/30"}]]}});
    bench.add(&config, ("a", "net1")).unwrap();
    assert_eq!(bench.add(&config, ("b", "net1")).unwrap_err().code, Code::RangeExhausted);
    assert_eq!(bench.held(), ["10.0.0.2", "10.0.1.2"]);
}

#[test]
fn a_requested_address_is_given_or_its_holder_named() {
    let bench = Bench::new();
    let ask = |ips: Value| json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}, "runtimeConfig": {"ips": ips}});
    let both = ask(json!(["fd00::77/64", "10.0.0.77"]));
    assert_eq!(bench.add(&both, ("a", "net1")).unwrap(), ["10.0.0.77", "fd00::77"]);
    let error = bench.add(&both, ("b", "net1")).unwrap_err();
    assert_eq!(error.code, Code::AddressUnavailable);
    assert!(
        error.msg.contains("10.0.0.77") && error.details.contains("container a interface net1"),
        "{error}"
    );
    for (ips, why) in [
        (json!(["10.9.0.1"]), "outside"),
        (json!(["10.0.0.1"]), "gateway"),
        (json!(["10.0.0.8", "10.0.0.9"]), "one address"),
    ] {
        let config = ask(ips);
        let error =
            bench.with(&config, ("c", "net1"), |request| Ipam::HostLocal.validate(request)).unwrap_err();
        assert!(error.code == Code::AddressUnavailable && error.details.contains(why), "{error}");
        assert_eq!(bench.add(&config, ("c", "net1")).unwrap_err(), error);
    }
    assert_eq!(bench.held().len(), 2);
}

#[test]
fn c066_cni_args_count_only_where_nobody_else_asks() {
    let bench = Bench::new();
    let args = CniArgs::parse("IP=10.0.0.50,fd00::50").unwrap();
    let mut config = json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}});
    let add = |config: &Value, id: &str| {
        bench.with(config, (id, "net1"), |request| {
            let result = Ipam::HostLocal.add(&IpamRequest { args: &args, ..*request }).unwrap();
            result.ips.iter().map(|ip| ip.address.to_string()).collect::<Vec<_>>()
        })
    };
    assert_eq!(add(&config, "a"), ["10.0.0.50/24", "fd00::50/64"]);
    config["args"] = json!({"cni": {"ips": ["10.0.0.60"]}});
    assert_eq!(add(&config, "b"), ["10.0.0.60/24", "fd00::51/64"]);
}

#[test]
fn an_empty_file_left_by_a_crash_does_not_hold_its_address() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/30");
    fs::create_dir(bench.dir()).unwrap();
    fs::write(bench.dir().join("10.0.0.2"), "").unwrap();
    assert_eq!(bench.add(&config, ("a", "net1")).unwrap(), ["10.0.0.2"]);
    fs::write(bench.dir().join("10.0.0.3"), "").unwrap();
    bench.del(&config, ("a", "net1"));
    assert!(bench.held().is_empty());
}

#[test]
fn check_follows_the_reservation() {
    let bench = Bench::new();
    let mut config = subnet("10.0.0.0/24");
    bench.add(&config, ("a", "net1")).unwrap();
    config["prevResult"] = json!({"ips": [{"address": "10.0.0.2/24"}, {"address": "192.168.0.2/24"}]});
    let check = |id: &str| bench.with(&config, (id, "net1"), |request| Ipam::HostLocal.check(request));
    assert_eq!(check("a"), Ok(()));
    let error = check("b").unwrap_err();
    assert!(error.code == Code::CheckFailed && error.details.contains("container a"), "{error}");
    fs::remove_file(bench.dir().join("10.0.0.2")).unwrap();
    assert!(check("a").unwrap_err().msg.contains("gone"));
    assert!(bench.held().is_empty(), "CHECK repairs nothing");
}

#[test]
fn c109_c110_c157_gc_keeps_exactly_the_listed_attachments() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    for who in [("a", "net1"), ("a", "net2"), ("b", "net1")] {
        bench.add(&config, who).unwrap();
    }
    fs::write(bench.dir().join("10.0.0.8"), "a").unwrap();
    fs::write(bench.dir().join("10.0.0.9"), "z").unwrap();
    fs::create_dir(bench.root.path().join("other")).unwrap();
    fs::write(bench.root.path().join("other/10.0.0.9"), "z\r\nnet1").unwrap();
    let gc = |valid: &[(&str, &str)]| {
        let valid: Vec<_> =
            valid.iter().map(|(id, ifname)| ((*id).to_owned(), (*ifname).to_owned())).collect();
        bench.with(&config, ("", ""), |request| Ipam::HostLocal.gc(request, &valid, &[])).unwrap();
    };
    gc(&[("a", "net1"), ("x", "net1")]);
    assert_eq!(bench.held(), ["10.0.0.2", "10.0.0.8"]);
    gc(&[]);
    gc(&[]);
    assert!(bench.held().is_empty());
    assert!(bench.root.path().join("other/10.0.0.9").exists(), "another network is left alone");
}

/// Whether the file system keeps stamps; says so if not.
fn keeps_stamps(bench: &Bench) -> bool {
    let place = DataDir::new(bench.root.path(), &bench.allowed).unwrap();
    let store = Store::look(&place, "net").unwrap().unwrap();
    let keeps = store.origin("lock").unwrap() != stamp::Origin::Untold;
    if !keeps {
        println!("SKIPPED: the file system of the temporary directory keeps no extended attributes");
    }
    keeps
}

#[test]
fn what_an_earlier_boot_left_is_released_and_nothing_else() {
    let mut bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    bench.boot_id = "earlier";
    for id in ["a", "b", "c"] {
        bench.add(&config, (id, "net1")).unwrap();
    }
    if !keeps_stamps(&bench) {
        return;
    }
    bench.boot_id = "this";
    bench.add(&config, ("d", "net1")).unwrap();
    // The reference plugin made one, and took over an address that was released behind our back.
    fs::write(bench.dir().join("10.0.0.9"), "e\r\nnet1").unwrap();
    fs::remove_file(bench.dir().join("10.0.0.3")).unwrap();
    fs::write(bench.dir().join("10.0.0.3"), "f\r\nnet1").unwrap();
    let below = bench.root.path().join("x/y/net2");
    fs::create_dir_all(&below).unwrap();
    for name in ["10.0.0.2", "10.0.0.4"] {
        fs::copy(bench.dir().join(name), below.join(name)).unwrap();
    }
    fs::write(below.join("lock"), "").unwrap();
    let stamp = Stamp { boot_id: "earlier".into(), pod: String::new() };
    stamp.write(fs::File::open(below.join("10.0.0.2")).unwrap());
    assert_eq!(release_earlier_boots(&bench.allowed, "this"), 3);
    assert_eq!(bench.held(), ["10.0.0.3", "10.0.0.5", "10.0.0.9"]);
    assert_eq!(fs::read_dir(&below).unwrap().count(), 2, "10.0.0.4 has no stamp there");
    assert_eq!(release_earlier_boots(&bench.allowed, "this"), 0);
    assert_eq!(release_earlier_boots(&[bench.root.path().join("none")], "this"), 0);
}

#[test]
fn gc_leaves_what_others_hold_for_a_container_that_lives() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    for who in [("a", "net1"), ("a", "net2")] {
        bench.add(&config, who).unwrap();
    }
    if !keeps_stamps(&bench) {
        return;
    }
    fs::write(bench.dir().join("10.0.0.8"), "a\r\nnet3").unwrap();
    fs::write(bench.dir().join("10.0.0.9"), "z\r\nnet3").unwrap();
    let valid = [("a".to_owned(), "net1".to_owned())];
    bench.with(&config, ("", ""), |request| Ipam::HostLocal.gc(request, &valid, &[])).unwrap();
    assert_eq!(bench.held(), ["10.0.0.2", "10.0.0.8"]);
}

#[test]
fn a_full_range_names_the_pods() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/30");
    let args = CniArgs::parse("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0").unwrap();
    let add = |id: &str| {
        let add = |request: &IpamRequest| Ipam::HostLocal.add(&IpamRequest { args: &args, ..*request });
        bench.with(&config, (id, "net1"), add)
    };
    add("a").unwrap();
    if keeps_stamps(&bench) {
        let error = add("b").unwrap_err();
        assert!(error.details.contains("pod shop/web-0 (container a interface net1)"), "{error}");
    }
}

#[test]
fn c032_a_lock_that_stays_held_ends_with_try_again() {
    let bench = Bench::new();
    let place = DataDir::new(bench.root.path(), &bench.allowed).unwrap();
    let held = Store::create(&place, "net", Duration::ZERO).unwrap();
    let error = Store::create(&place, "net", Duration::from_millis(5)).unwrap_err();
    assert!(error.code == Code::TryAgain && error.msg.contains("lock"), "{error}");
    drop(held);
    assert!(Store::create(&place, "net", Duration::ZERO).is_ok());
}

#[test]
fn c154_adds_in_parallel_get_distinct_addresses() {
    let bench = Bench::new();
    let config = subnet("10.0.0.0/24");
    let all: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (bench, config) = (&bench, &config);
                scope.spawn(move || {
                    let add = |at| bench.add(config, (&format!("t{thread}n{at}"), "net1")).unwrap().remove(0);
                    (0..20).map(add).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(HashSet::<&String>::from_iter(&all).len(), 160);
    assert_eq!(bench.held().len(), 160);
}

#[test]
fn a_range_that_is_nearly_full_still_serves() {
    let bench = Bench::new();
    fs::create_dir(bench.dir()).unwrap();
    for low in 2..4094_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + low);
        fs::write(bench.dir().join(address.to_string()), "x\r\nnet1").unwrap();
    }
    let config = subnet("10.0.0.0/20");
    assert_eq!(bench.add(&config, ("a", "net1")).unwrap(), ["10.0.15.254"]);
    assert_eq!(bench.add(&config, ("b", "net1")).unwrap_err().code, Code::RangeExhausted);
}

#[test]
fn routes_and_name_servers_come_with_the_addresses() {
    let bench = Bench::new();
    let resolv = bench.root.path().join("resolv.conf");
    fs::write(&resolv, "nameserver 10.0.0.53\n").unwrap();
    let config = json!({"ipam": {
        "subnet": "10.0.0.0/24", "resolvConf": resolv,
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.2.0.0/16", "gw": "10.0.0.9", "mtu": 1400, "advmss": 1360,
                    "priority": 7, "table": 100, "scope": 253}],
    }});
    let result = bench.with(&config, ("a", "net1"), |request| Ipam::HostLocal.add(request)).unwrap();
    assert_eq!(result.dns.0, *json!({"nameservers": ["10.0.0.53"]}).as_object().unwrap());
    let route = &result.routes[1];
    assert_eq!(
        (route.mtu, route.advmss, route.priority, route.table, route.scope),
        (Some(1400), Some(1360), Some(7), Some(100), Some(253))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Ask(u8, u8),
    Del(u8),
    Crash(u8),
    Gc(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8).prop_map(Step::Add),
        1 => (0..12_u8, 0..20_u8).prop_map(|(who, low)| Step::Ask(who, low)),
        3 => (0..12_u8).prop_map(Step::Del),
        1 => (0..20_u8).prop_map(Step::Crash),
        1 => prop::collection::vec(0..12_u8, 0..6).prop_map(Step::Gc),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn c160_c161_the_directory_follows_a_model(steps in prop::collection::vec(step(), 1..60)) {
        let bench = Bench::new();
        let plain = subnet("10.0.0.0/28");
        let mut model: HashMap<u8, String> = HashMap::new();
        for step in steps {
            match step {
                Step::Add(who) => {
                    let outcome = bench.add(&plain, (&format!("c{who}"), "net1"));
                    if model.contains_key(&who) {
                        prop_assert_eq!(outcome.unwrap_err().code, Code::AlreadyAttached);
                    } else if model.len() == 13 {
                        prop_assert_eq!(outcome.unwrap_err().code, Code::RangeExhausted);
                    } else {
                        let given = outcome.unwrap().remove(0);
                        prop_assert!(given != "10.0.0.1" && !model.values().any(|held| *held == given));
                        model.insert(who, given);
                    }
                }
                Step::Ask(who, low) => {
                    let wanted = format!("10.0.0.{low}");
                    let mut config = plain.clone();
                    config["runtimeConfig"] = json!({"ips": [wanted]});
                    let free = (2..15).contains(&low) && !model.values().any(|held| *held == wanted);
                    let outcome = bench.add(&config, (&format!("c{who}"), "net1"));
                    prop_assert_eq!(outcome.is_ok(), free && !model.contains_key(&who));
                    if outcome.is_ok() {
                        model.insert(who, wanted);
                    }
                }
                Step::Del(who) => {
                    bench.del(&plain, (&format!("c{who}"), "net1"));
                    model.remove(&who);
                }
                Step::Crash(low) => {
                    let name = format!("10.0.0.{low}");
                    if bench.dir().exists() && !model.values().any(|held| *held == name) {
                        fs::write(bench.dir().join(name), "").unwrap();
                    }
                }
                Step::Gc(valid) => {
                    let list: Vec<_> = valid.iter().map(|who| (format!("c{who}"), "net1".to_owned())).collect();
                    bench.with(&plain, ("", ""), |request| Ipam::HostLocal.gc(request, &list, &[])).unwrap();
                    model.retain(|who, _| valid.contains(who));
                }
            }
        }
        bench.del(&plain, ("nobody", "net1"));
        let mut expected: Vec<String> = model.into_values().collect();
        expected.sort();
        prop_assert_eq!(bench.held(), expected);
    }
}
