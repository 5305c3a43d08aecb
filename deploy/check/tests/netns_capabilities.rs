//! plexusd with exactly the capabilities that the DaemonSet gives it, and with what else a container takes away: new
//! privileges, a writable /proc/sys, devices. It must attach, police, survive a restart, and clean up all the same.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as tests do")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use plexus_agent::lab::leftovers::Inventory;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::ping::ping;
use plexus_agent::lab::skip::{require_binaries_or_skip, require_link_kind_or_skip};
use plexus_agent::lab::{DaemonSetup, Host, Plexusd, Runtime, require_binary_or_skip};
use plexus_cni::env::Command;
use plexus_deploy::checkout::manifests_dir;
use plexus_deploy::manifest::{kind, objects};
use serde_json::{Value, json};

/// What `deploy/manifests/plexus.yaml` adds, in setpriv's spelling.
fn capabilities() -> String {
    let text = fs::read_to_string(manifests_dir().join("plexus.yaml")).unwrap();
    let objects = objects(&text).unwrap();
    let set = objects.iter().find(|object| kind(object) == "DaemonSet").unwrap();
    let capabilities = &set["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"];
    assert_eq!(capabilities["drop"], json!(["ALL"]));
    let mut spelled = "-all".to_owned();
    for added in capabilities["add"].as_array().unwrap() {
        write!(spelled, ",+{}", added.as_str().unwrap().to_lowercase()).unwrap();
    }
    spelled
}

/// Leaves those devices in /dev that plexusd's container has: the runtime's own, and what the DaemonSet mounts there.
fn devices() -> String {
    let text = fs::read_to_string(manifests_dir().join("plexus.yaml")).unwrap();
    let objects = objects(&text).unwrap();
    let set = objects.iter().find(|object| kind(object) == "DaemonSet").unwrap();
    let mounts = set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let paths = mounts.iter().map(|mount| (mount["mountPath"].as_str().unwrap(), mount["readOnly"] == true));
    let (mut put, mut get) = (String::new(), "mount -t tmpfs none /dev".to_owned());
    for (at, (path, is_read_only)) in paths.filter(|(path, _)| path.starts_with("/dev/")).enumerate() {
        let kept = format!("/mnt/{at}");
        let flags = if is_read_only { "-o remount,bind,ro" } else { "-o remount,bind" };
        write!(put, "mkdir {kept}\nmount --bind {path} {kept}\n").unwrap();
        write!(get, "\nmkdir -p {path}\nmount --bind {kept} {path}\nmount {flags} {path}").unwrap();
    }
    for (at, own) in ["null", "zero", "urandom"].iter().enumerate() {
        write!(put, "touch /mnt/own{at}\nmount --bind /dev/{own} /mnt/own{at}\n").unwrap();
        write!(get, "\ntouch /dev/{own}\nmount --bind /mnt/own{at} /dev/{own}").unwrap();
    }
    format!("mount -t tmpfs none /mnt\n{put}{get}")
}

/// A program that becomes plexusd as a container's runtime would start it.
fn confined(directory: &Path, plexusd: &Path) -> PathBuf {
    let path = directory.join("confined-plexusd");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount --propagation slave sh -ec '\n\
         mount --bind /proc/sys /proc/sys\nmount -o remount,bind,ro /proc/sys\n\
         {}\n\
         exec setpriv --no-new-privs --bounding-set={} {} \"$@\"' plexusd \"$@\"\n",
        devices(),
        capabilities(),
        plexusd.display(),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Of a running process, as /proc shows it.
fn effective_capabilities(daemon: &Plexusd) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn network(name: &str, plugin: &Value, subnet: &str) -> Value {
    let mut plugin = plugin.clone();
    plugin["ipam"] = json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let limits = json!({
        "type": "bandwidth", "ingressRate": 100_000_000, "ingressBurst": 10_000_000,
        "egressRate": 100_000_000, "egressBurst": 10_000_000,
    });
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin, limits]})
}

fn meta(host: &Host) -> Value {
    let bridge = json!({
        "type": "bridge", "bridge": "br-test", "isGateway": true, "ipMasq": true, "macspoofchk": true,
    });
    json!({
        "cniVersion": "1.0.0", "name": "plexus", "type": "plexus", "socket": host.socket(),
        "stateDir": host.state_dir(), "delegates": [network("cluster", &bridge, "10.77.0.0/24")],
    })
}

#[test]
fn the_capabilities_of_the_daemon_set_are_enough_for_every_native_plugin() {
    let test = "the_capabilities_of_the_daemon_set_are_enough_for_every_native_plugin";
    let Some(binaries) = require_binaries_or_skip(test) else { return };
    let tools =
        [("nft", "nftables"), ("ping", "iputils-ping"), ("setpriv", "util-linux"), ("unshare", "util-linux")];
    if !tools.iter().all(|(program, package)| require_binary_or_skip(test, program, package)) {
        return;
    }
    let host = Host::enter().unwrap();
    if !require_link_kind_or_skip(test, "macvlan") {
        return;
    }
    // As on every node of a cluster; plexusd could not write it.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let outside = host.netns_named("outside").unwrap();
    for index in 0..2 {
        host.cable(&format!("uplink{index}"), &outside, &format!("eth{index}")).unwrap();
    }
    let mut lan = network("lan", &json!({"type": "macvlan", "master": "uplink0"}), "10.78.0.0/24");
    // Sysctls of a pod are set by the shim: neither CAP_SYS_ADMIN nor a writable /proc/sys is needed.
    let sysctls = json!({"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1"});
    let tuning = json!({"type": "tuning", "sysctl": sysctls, "mtu": 1400});
    lan["plugins"].as_array_mut().unwrap().push(tuning);
    let blue = network("blue", &json!({"type": "fastpath", "uplink": "uplink1"}), "10.79.0.0/24");
    write_network(&host.manifests_dir(), "default", "lan", &lan).unwrap();
    write_network(&host.manifests_dir(), "default", "blue", &blue).unwrap();
    let has_tap = Path::new("/dev/net/tun").exists();
    let machine = network("machine", &json!({"type": "tap"}), "10.80.0.0/24");
    write_network(&host.manifests_dir(), "default", "machine", &machine).unwrap();
    let pods = ["a", "b"].map(|name| host.pod(name).unwrap());
    for pod in &pods {
        write_pod(&host.manifests_dir(), pod, if has_tap { "lan, blue, machine" } else { "lan, blue" })
            .unwrap();
    }
    let before = Inventory::take(&host).unwrap();

    let mut setup = DaemonSetup::new(&host, &binaries);
    setup.plexusd = confined(&host.dir(), &binaries.plexusd());
    let mut daemon = setup.start().unwrap();
    // CAP_NET_ADMIN 12, CAP_PERFMON 38, CAP_BPF 39.
    assert_eq!(effective_capabilities(&daemon), 1 << 12 | 1 << 38 | 1 << 39);

    let runtime = Runtime::new(&host, &binaries);
    let config = meta(&host);
    let results = pods.each_ref().map(|pod| runtime.add(pod, "eth0", &config).unwrap().success().unwrap());
    if has_tap {
        assert!(
            pods[0].netns.interfaces().unwrap().contains(&"net3".to_owned()),
            "the TAP device is missing"
        );
    } else {
        println!("without a TAP device: /dev/net/tun is missing (`modprobe tun`)");
    }
    let pings = || {
        for network in ["10.77.0", "10.78.0", "10.79.0"] {
            // Leases count up: .1 is the gateway of each range, .2 and .3 the pods.
            let other = format!("{network}.3").parse().unwrap();
            assert!(ping(&pods[0].netns, other, 2).unwrap().all_answered(), "{network}");
        }
    };
    pings();
    for (path, expected) in [("core/somaxconn", "500"), ("ipv4/conf/net1/arp_filter", "1")] {
        let read = || fs::read_to_string(Path::new("/proc/sys/net").join(path));
        assert_eq!(pods[0].netns.within(read).unwrap().unwrap().trim(), expected);
    }
    let mut with_result = config.clone();
    with_result["prevResult"] = results[0].clone();
    runtime.call(Command::Check, &pods[0], "eth0", &with_result).unwrap().success().unwrap();

    daemon.kill().unwrap();
    pings();
    daemon.restart().unwrap();
    pings();

    for pod in &pods {
        runtime.del(pod, "eth0", &config).unwrap().success().unwrap();
    }
    daemon.stop().unwrap();
    let left: Vec<String> =
        Inventory::take(&host).unwrap().since(&before).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["interface br-test"], "only the bridge outlives its attachments");
}
