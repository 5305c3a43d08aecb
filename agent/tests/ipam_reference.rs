//! IPAM beside the reference plugins: the same answers, and one directory shared by both.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as tests do")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plexus_agent::ipam::host_local::release_earlier_boots;
use plexus_agent::ipam::{Ipam, IpamRequest};
use plexus_cni::CniResult;
use plexus_cni::args::CniArgs;
use serde_json::{Value, json};

/// The reference plugin of this name, or `None` after saying loudly that it is missing.
fn reference(plugin: &str) -> Option<PathBuf> {
    let bin_dir = std::env::var_os("CNI_REFERENCE_BIN").unwrap_or_else(|| "/usr/lib/cni".into());
    let path = Path::new(&bin_dir).join(plugin);
    if path.exists() {
        return Some(path);
    }
    println!(
        "SKIPPED: {} is missing: apt-get install containernetworking-plugins, or set CNI_REFERENCE_BIN",
        path.display()
    );
    None
}

/// The boot that tests are in.
const BOOT: &str = "this-boot";

/// One call of an IPAM plugin.
struct Call<'a> {
    config: &'a Value,
    args: &'a str,
    container_id: &'a str,
    boot_id: &'a str,
}

impl Call<'_> {
    /// Asks the reference; `None` stands for an error.
    fn ask_reference(&self, binary: &Path, command: &str) -> Option<String> {
        let mut child = Command::new(binary)
            .env_clear()
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.container_id)
            .env("CNI_NETNS", "/not/looked/at")
            .env("CNI_IFNAME", "net1")
            .env("CNI_PATH", "/not/looked/at")
            .env("CNI_ARGS", self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(self.config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn add_reference(&self, binary: &Path) -> Option<CniResult> {
        let text = self.ask_reference(binary, "ADD")?;
        // Version 1.1.1 prints an error and exits with 0 where an address is no CIDR.
        let value: Value = serde_json::from_str(&text).ok()?;
        value.get("code").is_none().then(|| CniResult::from_value(&value, "reference").unwrap())
    }

    fn with_ours<T>(&self, work: impl FnOnce(Ipam, &IpamRequest) -> T) -> T {
        let ipam = &self.config["ipam"];
        let data_dirs: Vec<PathBuf> = ipam["dataDir"].as_str().map(PathBuf::from).into_iter().collect();
        let request = IpamRequest {
            network: "net",
            container_id: self.container_id,
            ifname: "net1",
            config: self.config.as_object().unwrap(),
            args: &CniArgs::parse(self.args).unwrap(),
            data_dirs: &data_dirs,
            boot_id: self.boot_id,
            cluster: None,
            deadline: std::time::Instant::now(),
        };
        work(Ipam::native(ipam["type"].as_str().unwrap()).unwrap(), &request)
    }

    fn add_ours(&self) -> Option<CniResult> {
        let result = self.with_ours(Ipam::add).ok()?;
        Some(CniResult { ips: result.ips, routes: result.routes, dns: result.dns, ..CniResult::default() })
    }
}

fn config(plugin: &str, ipam: &Value, rest: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "macvlan", "ipam": ipam});
    config["ipam"]["type"] = plugin.into();
    for (key, value) in rest.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn in_dir(config: &Value, dir: &Path) -> Value {
    let mut config = config.clone();
    config["ipam"]["dataDir"] = dir.to_str().into();
    config
}

/// Names and contents of the network's directory.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(dir.join("net")) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect()
}

#[test]
fn host_local_gives_the_same_results_and_leaves_the_same_files() {
    let Some(binary) = reference("host-local") else { return };
    let none = json!({});
    let table = [
        (json!({"subnet": "10.1.0.0/29"}), none.clone(), ""),
        (json!({"subnet": "10.1.0.0/29", "gateway": "10.1.0.3"}), none.clone(), ""),
        (
            json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.0", "rangeEnd": "10.1.0.2"}),
            none.clone(),
            "",
        ),
        (
            json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.250", "gateway": "10.9.9.9"}),
            none.clone(),
            "",
        ),
        (json!({"subnet": "fd00::/126"}), none.clone(), ""),
        (json!({"subnet": "fd00::/64", "rangeStart": "fd00::00ff:fffe"}), none.clone(), ""),
        (
            json!({"ranges": [[{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/30"}], [{"subnet": "fd00::/64"}]]}),
            none.clone(),
            "",
        ),
        (json!({"subnet": "10.1.0.0/29", "ranges": [[{"subnet": "10.2.0.0/30"}]]}), none.clone(), ""),
        (
            json!({"subnet": "10.1.0.0/29"}),
            json!({"runtimeConfig": {"ipRanges": [[{"subnet": "10.7.0.0/29"}]]}}),
            "",
        ),
        (json!({"ranges": []}), json!({"runtimeConfig": {"ipRanges": [[{"subnet": "10.7.0.0/29"}]]}}), ""),
        (
            json!({"subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.2.3.4/16", "gw": "10.1.0.9"}]}),
            none.clone(),
            "",
        ),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["10.1.0.7"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["10.1.0.7/16"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"args": {"cni": {"ips": ["10.1.0.7", "10.1.0.7"]}}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["10.1.0.1"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["10.2.0.1"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["10.1.0.7", "10.1.0.8"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), json!({"runtimeConfig": {"ips": ["x"]}}), ""),
        (json!({"subnet": "10.1.0.0/24"}), none.clone(), "IP=10.1.0.9"),
        (json!({"subnet": "10.1.0.0/24"}), none.clone(), "IP=10.1.0.9/8"),
        (json!({"subnet": "10.1.0.0/24"}), none.clone(), "IP=10.9.0.9"),
        (json!({"rangeStart": "10.1.0.5", "ranges": [[{"subnet": "10.2.0.0/30"}]]}), none.clone(), ""),
        (json!({"subnet": "10.1.0.0/31"}), none.clone(), ""),
        (json!({"subnet": "10.1.0.4/24"}), none.clone(), ""),
        (json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.1.1"}), none.clone(), ""),
        (
            json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}),
            none.clone(),
            "",
        ),
        (json!({"ranges": [[]]}), none.clone(), ""),
        (json!({"ranges": [[{}]]}), none.clone(), ""),
        (json!({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]]}), none.clone(), ""),
        (json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.128/25"}]]}), none.clone(), ""),
        (json!({"subnet": "10.1.0.0/24", "gateway": "x"}), none.clone(), ""),
        (json!({}), none, ""),
    ];
    let root = tempfile::tempdir().unwrap();
    for (at, (ipam, rest, args)) in table.iter().enumerate() {
        let config = config("host-local", ipam, rest);
        let (ours_dir, theirs_dir) = (root.path().join(format!("o{at}")), root.path().join(format!("t{at}")));
        let (ours, theirs) = (in_dir(&config, &ours_dir), in_dir(&config, &theirs_dir));
        let mut refused = false;
        for step in 0..12 {
            let container_id = format!("c{}", step % 9);
            let at_ours = Call { config: &ours, args, boot_id: BOOT, container_id: &container_id };
            let at_theirs = Call { config: &theirs, args, boot_id: BOOT, container_id: &container_id };
            if step % 4 == 3 {
                at_ours.with_ours(Ipam::del).unwrap();
                at_theirs.ask_reference(&binary, "DEL");
            } else {
                let outcome = at_ours.add_ours();
                assert_eq!(outcome, at_theirs.add_reference(&binary), "step {step} of {config} {args}");
                refused |= outcome.is_none();
            }
        }
        let names = |dir: &Path| {
            let mut files = files(dir);
            // The reference makes the directory and the lock even for an ADD that it refuses.
            files.remove("lock");
            // And it moves its round robin on, because it looks at the requested addresses after reserving others.
            files.retain(|name, _| !(refused && name.starts_with("last_reserved_ip")));
            files
        };
        assert_eq!(names(&ours_dir), names(&theirs_dir), "{config}");
    }
}

#[test]
fn static_gives_the_same_results() {
    let Some(binary) = reference("static") else { return };
    let one = json!({"addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]});
    let none = json!({});
    let table = [
        (one.clone(), none.clone(), ""),
        (
            json!({"addresses": [{"address": "10.1.0.5/24"}, {"address": "fd00::5/64", "gateway": "fd00::1"}],
                   "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.0.0.53"], "search": ["a.b"]}}),
            none.clone(),
            "",
        ),
        (one.clone(), none.clone(), "IP=10.1.0.9/24,10.3.0.1/24;GATEWAY=10.1.0.2"),
        (one.clone(), none.clone(), "GATEWAY=10.1.0.2"),
        (one.clone(), json!({"args": {"cni": {"ips": ["10.8.0.1/24"]}}}), "IP=10.1.0.9/24"),
        (
            one,
            json!({"args": {"cni": {"ips": ["10.8.0.1/24"]}}, "runtimeConfig": {"ips": ["10.9.0.1/24"]}}),
            "",
        ),
        (json!({"addresses": [{"address": "10.1.0.5"}]}), none.clone(), ""),
        (json!({"addresses": [{"address": "10.1.0.5/24", "gateway": "x"}]}), none, ""),
    ];
    for (ipam, rest, args) in table {
        let config = config("static", &ipam, &rest);
        let call = Call { config: &config, args, boot_id: BOOT, container_id: "c" };
        assert_eq!(call.add_ours(), call.add_reference(&binary), "{config} {args}");
    }
}

#[test]
fn turns_on_one_directory_hand_every_address_out_once() {
    let Some(binary) = reference("host-local") else { return };
    let root = tempfile::tempdir().unwrap();
    let config = in_dir(&config("host-local", &json!({"subnet": "10.1.0.0/26"}), &json!({})), root.path());
    let mut given = HashSet::new();
    for at in 0..61 {
        let container_id = format!("c{at}");
        let call = Call { config: &config, args: "", boot_id: BOOT, container_id: &container_id };
        let result = if at % 2 == 0 { call.add_ours() } else { call.add_reference(&binary) };
        assert!(given.insert(result.unwrap().ips[0].address));
    }
    let late = Call { config: &config, args: "", boot_id: BOOT, container_id: "late" };
    assert!(late.add_ours().is_none() && late.add_reference(&binary).is_none());
    for at in 0..61 {
        let container_id = format!("c{at}");
        let call = Call { config: &config, args: "", boot_id: BOOT, container_id: &container_id };
        // Each releases what the other one reserved.
        if at % 2 == 0 {
            call.ask_reference(&binary, "DEL").unwrap();
        } else {
            call.with_ours(Ipam::del).unwrap();
        }
    }
    assert_eq!(files(root.path()).into_keys().collect::<Vec<_>>(), ["last_reserved_ip.0", "lock"]);
}

#[test]
fn c154_both_in_parallel_on_one_directory_never_give_one_address_twice() {
    let Some(binary) = reference("host-local") else { return };
    let root = tempfile::tempdir().unwrap();
    let config = in_dir(&config("host-local", &json!({"subnet": "10.1.0.0/24"}), &json!({})), root.path());
    let given: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let (config, binary) = (&config, &binary);
                scope.spawn(move || {
                    let add = |at| {
                        let container_id = format!("t{thread}n{at}");
                        let call = Call { config, args: "", boot_id: BOOT, container_id: &container_id };
                        let result =
                            if thread % 2 == 0 { call.add_ours() } else { call.add_reference(binary) };
                        result.unwrap().ips[0].address
                    };
                    (0..40).map(add).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 240);
    let held = files(root.path());
    assert!(given.iter().all(|address| held.contains_key(&address.addr().to_string())));
}

#[test]
fn what_a_reboot_left_goes_while_the_reference_allocates_and_nothing_that_lives_does() {
    let Some(binary) = reference("host-local") else { return };
    let root = tempfile::tempdir().unwrap();
    let config = in_dir(&config("host-local", &json!({"subnet": "10.1.0.0/24"}), &json!({})), root.path());
    for at in 0..40 {
        let container_id = format!("left{at}");
        Call { config: &config, args: "", boot_id: "earlier", container_id: &container_id }
            .add_ours()
            .unwrap();
    }
    let data_dirs = [root.path().to_owned()];
    let released = std::thread::scope(|scope| {
        let (config, binary) = (&config, &binary);
        for thread in 0..4 {
            scope.spawn(move || {
                for at in 0..30 {
                    let container_id = format!("t{thread}n{at}");
                    let call = Call { config, args: "", boot_id: BOOT, container_id: &container_id };
                    let result = if thread % 2 == 0 { call.add_ours() } else { call.add_reference(binary) };
                    assert!(result.is_some(), "{container_id}");
                    if at % 3 == 0 {
                        call.ask_reference(binary, "DEL").unwrap();
                    }
                }
            });
        }
        (0..20).map(|_| release_earlier_boots(&data_dirs, BOOT)).sum::<usize>()
    });
    let held = files(root.path());
    let holders: Vec<&str> =
        held.values().filter_map(|content| content.split_once("\r\n")).map(|(id, _)| id).collect();
    let living = (0..4).flat_map(|thread| (0..30).map(move |at| (thread, at))).filter(|(_, at)| at % 3 != 0);
    for (thread, at) in living {
        assert!(holders.contains(&&*format!("t{thread}n{at}")), "t{thread}n{at} lost its address");
    }
    if released == 0 {
        println!("SKIPPED: the file system of the temporary directory keeps no extended attributes");
        return;
    }
    assert_eq!((released, holders.len()), (40, 80));
}

#[test]
fn the_reference_checks_and_counts_what_we_reserved() {
    let Some(binary) = reference("host-local") else { return };
    let root = tempfile::tempdir().unwrap();
    let mut config =
        in_dir(&config("host-local", &json!({"subnet": "10.1.0.0/24"}), &json!({})), root.path());
    Call { config: &config, args: "", boot_id: BOOT, container_id: "ours" }.add_ours().unwrap();
    Call { config: &config, args: "", boot_id: BOOT, container_id: "theirs" }.add_reference(&binary).unwrap();
    config["prevResult"] = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]});
    let ours = Call { config: &config, args: "", boot_id: BOOT, container_id: "ours" };
    assert!(ours.ask_reference(&binary, "CHECK").is_some());
    assert!(ours.add_reference(&binary).is_none(), "a second ADD is refused whoever did the first");
    config["prevResult"] = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.3/24"}]});
    let theirs = Call { config: &config, args: "", boot_id: BOOT, container_id: "theirs" };
    theirs.with_ours(Ipam::check).unwrap();
    assert!(theirs.add_ours().is_none());
}
