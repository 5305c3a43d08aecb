//! The arguments that the DaemonSet gives to plexusd, against plexusd's own command line.

use std::ffi::OsStr;
use std::fs;

use clap::{CommandFactory as _, Parser as _};
use plexus_agent::args::Cli;
use plexus_deploy::checkout::{chart_dir, deploy_dir};
use plexus_deploy::manifest::{kind, objects};
use serde_json::{Value, json};

use crate::support::{container, daemon_sets, helm, rendered, texts};

/// Flags whose values are paths that the shim on the node uses, not plexusd.
const OF_THE_NODE: [&str; 1] = ["--bin-dir"];

fn parse(arguments: &[&str]) {
    if let Err(error) = Cli::try_parse_from([&["plexusd"], arguments].concat()) {
        panic!("plexusd refuses {arguments:?}: {error}");
    }
}

#[test]
fn plexusd_accepts_the_arguments_of_every_container() {
    for (name, set) in daemon_sets() {
        println!("{name}");
        for of in ["install", "plexusd"] {
            parse(&texts(&container(&set, of)["args"]));
        }
    }
}

#[test]
fn plexusd_accepts_the_arguments_of_every_option() {
    let Some(helm) = helm() else { return };
    let options = [
        &["config.apiVersion=plexus.dev/v1alpha1"][..],
        &["multusDaemonConfig.configMapName=multus-daemon-config"],
        &["cni.primary=10-x.conflist", "cni.onExit=remove", "cni.extraBinDirs={/usr/lib/cni,/opt/x}"],
        &["metrics.address=[::]"],
        &["portsMax=65536", "workers=1", "whereabouts.namespace=network"],
        &["metrics.enabled=false", "devices.enabled=false"],
        &["install.names={plexus,multus,multus-shim}", "install.replace=true"],
        &["cni.primaryDir=/run/multus/cni/net.d", "cni.readinessIndicatorFile=/run/flannel/subnet.env"],
        &["metrics.portsMax=100", "metrics.multusNames=true"],
    ];
    for sets in options {
        let objects = rendered(&helm, sets).unwrap();
        let set = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
        for of in ["install", "plexusd"] {
            parse(&texts(&container(set, of)["args"]));
            every_path_is_mounted(&sets.join(" "), container(set, of));
        }
    }
}

#[test]
fn plexusd_reads_the_config_file_that_the_chart_writes() {
    let Some(helm) = helm() else { return };
    let example = fs::read_to_string(deploy_dir().join("examples/agent-config.yaml")).unwrap();
    let example = objects(&example).unwrap().remove(0);
    let directory = tempfile::tempdir().unwrap();
    let values = directory.path().join("values.json");
    fs::write(&values, json!({"config": example}).to_string()).unwrap();
    let text = helm.template(&chart_dir(), &[OsStr::new("--values"), values.as_os_str()]).unwrap();
    let objects = objects(&text).unwrap();
    let config_map = objects.iter().find(|object| kind(object) == "ConfigMap").unwrap();
    let config = directory.path().join("plexusd.yaml");
    fs::write(&config, config_map["data"]["plexusd.yaml"].as_str().unwrap()).unwrap();
    let arguments = ["plexusd", "run", "--config", config.to_str().unwrap()].map(Into::into);
    plexus_agent::config::command_line(arguments).unwrap();
}

#[test]
fn every_path_that_a_flag_names_is_mounted() {
    for (name, set) in daemon_sets() {
        for of in ["install", "plexusd"] {
            every_path_is_mounted(&name, container(&set, of));
        }
    }
}

fn every_path_is_mounted(file: &str, container: &Value) {
    let mounts: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    for argument in texts(&container["args"]) {
        let Some((flag, value)) = argument.split_once('=') else { continue };
        if OF_THE_NODE.contains(&flag) && container["name"] == "plexusd" {
            continue;
        }
        for path in value.split(':').filter(|path| path.starts_with('/')) {
            let is_mounted =
                mounts.iter().any(|mount| path == *mount || path.starts_with(&format!("{mount}/")));
            assert!(is_mounted, "{file}: {argument}: {path} lies on no mount of {mounts:?}");
        }
    }
}

/// Where both sides of the socket must mean the same file: the node's path is the container's.
#[test]
fn every_directory_of_the_node_has_its_own_path_in_plexusd() {
    for (name, set) in daemon_sets() {
        let volumes = crate::support::pod_spec(&set)["volumes"].as_array().unwrap();
        for mount in container(&set, "plexusd")["volumeMounts"].as_array().unwrap() {
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            assert_eq!(volume["hostPath"]["path"], mount["mountPath"], "{name}: {mount}");
        }
    }
}

/// Defaults that the shim has too, and that the chart therefore does not let anybody change.
#[test]
fn socket_and_state_lie_where_the_shim_looks_for_them() {
    let run = Cli::command();
    let run = run.find_subcommand("run").unwrap();
    for (name, set) in daemon_sets() {
        let arguments = texts(&container(&set, "plexusd")["args"]);
        for flag in ["socket", "state-dir", "bpffs"] {
            let argument = run.get_arguments().find(|argument| argument.get_long() == Some(flag)).unwrap();
            let default = argument.get_default_values()[0].to_str().unwrap();
            assert!(arguments.contains(&format!("--{flag}={default}").as_str()), "{name}: --{flag}");
        }
    }
}
