//! Config files, as the command line takes them.

use std::fs;

use serde_json::json;

use super::*;
use crate::args::Command;
use crate::config::schema;

/// The settings of `plexusd run --config FILE ARGUMENTS`.
fn settings(text: &str, arguments: &[&str]) -> anyhow::Result<(Settings, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, text).unwrap();
    let start = ["plexusd", "run", "--config", path.to_str().unwrap()];
    let (cli, file) = command_line(start.iter().chain(arguments).map(OsString::from))?;
    let remarks = file.remarks.clone();
    let Command::Run(run) = cli.command else { panic!("another command") };
    Ok((file.complete((*run).into()), remarks))
}

fn own_text(more: &str) -> String {
    format!("apiVersion: {API_VERSION}\nkind: AgentConfig\n{more}")
}

#[test]
fn a_file_completes_the_command_line_and_flags_win() {
    let text = own_text("socket: /a.sock\nstateDir: /state\nbinDir: [/x, /y]\nworkers: 3\nmanifests: /m\n");
    let (settings, remarks) = settings(&text, &["--socket", "/b.sock", "--kubeconfig", "/k"]).unwrap();
    assert_eq!((settings.socket, settings.state_dir), ("/b.sock".into(), "/state".into()));
    assert_eq!((settings.bin_dirs, settings.workers), (vec!["/x".into(), "/y".into()], 3));
    assert_eq!(settings.manifests, None, "--kubeconfig excludes it");
    assert!(remarks.is_empty());
}

#[test]
fn keys_of_the_meta_plugin_become_the_overlay() {
    let text = own_text("meta:\n  namespaceIsolation: true\n  auxiliaryCNIChainName: vendor\n");
    let (settings, _) = settings(&text, &[]).unwrap();
    let expected = json!({"namespaceIsolation": true, "auxiliaryCNIChainName": "vendor"});
    assert_eq!(Value::Object(settings.meta_overlay), expected);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_key() {
    for (text, parts) in [
        (own_text("sokcet: /a\n"), &["line 3", "sokcet"][..]),
        (own_text("workers: many\n"), &["line 3", "workers"]),
        (own_text("workers: 100\n"), &["workers", "100"]),
        (own_text("meta: {nope: 1}\n"), &["line 3", "nope"]),
        (own_text("binDir: /x\n"), &["line 3", "binDir"]),
        ("apiVersion: plexus.dev/v9\nkind: AgentConfig\n".into(), &["line 1", "plexus.dev/v9"]),
        ("kind: AgentConfig\n".into(), &["apiVersion"]),
        ("color: blue\n".into(), &["neither", "Multus"]),
        ("a: [\n".into(), &["line"]),
        (own_text("---\na: 1\n"), &["one document"]),
        ("{\n  \"metricsPort\": \"x\"\n}".into(), &["line 2", "metricsPort"]),
    ] {
        let error = format!("{:#}", settings(&text, &[]).unwrap_err());
        for part in parts {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}

#[test]
fn multus_daemon_config_is_taken_and_what_does_nothing_is_said() {
    let text = json!({
        "chrootDir": "/hostroot", "cniVersion": "0.3.1", "logLevel": "debug", "namespaceIsolation": true,
        "connectionLimit": 100, "socketDir": "/host/run/multus/", "multusConfigFile": "auto",
        "metricsPort": 9091, "cniDir": "/var/lib/cni/m",
    });
    let (settings, remarks) = settings(&text.to_string(), &[]).unwrap();
    assert_eq!(
        Value::Object(settings.meta_overlay),
        json!({"namespaceIsolation": true, "cniDir": "/var/lib/cni/m"})
    );
    assert_eq!(settings.connection_limit, 100);
    assert_eq!(settings.metrics.map(|address| address.to_string()).as_deref(), Some("0.0.0.0:9091"));
    let says = |key: &str, what: &str| remarks.iter().any(|line| line.contains(key) && line.contains(what));
    assert!(
        says("chrootDir", "does nothing")
            && says("socketDir", "does nothing")
            && says("logLevel", "otherwise")
    );
}

#[test]
fn multus_keys_about_the_runtimes_config_are_flags_of_ours() {
    let mut text = json!({
        "cniVersion": "0.3.1", "cniConfigDir": "/host/etc/cni/net.d", "multusAutoconfigDir": "/host/etc/cni/net.d",
        "multusMasterCNI": "10-k.conflist", "overrideNetworkName": true, "readinessindicatorfile": "/run/ready",
    });
    let conflist =
        settings(&text.to_string(), &["--cni-conf-dir=/etc/cni/net.d"]).unwrap().0.conflist.unwrap();
    assert_eq!(
        (&*conflist.conf_dir, &*conflist.primary_dir),
        (Path::new("/etc/cni/net.d"), Path::new("/etc/cni/net.d"))
    );
    assert_eq!((conflist.primary.as_deref(), conflist.network_name), (Some("10-k.conflist"), None));
    assert_eq!(conflist.version.unwrap().as_str(), "0.3.1");
    assert_eq!(conflist.readiness_indicator.as_deref(), Some(Path::new("/run/ready")));
    text["multusConfigFile"] = json!("/etc/own.conf");
    assert!(settings(&text.to_string(), &[]).unwrap().0.conflist.is_none());
}

#[test]
fn every_flag_has_a_key_and_every_key_a_flag() {
    let mut command = Cli::command();
    command.build();
    let run = command.find_subcommand("run").unwrap();
    let mut names: Vec<String> =
        run.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    names.retain(|name| !["config", "help", "version"].contains(&&**name));
    names.sort();
    let schema = schema();
    let keys = schema["properties"].as_object().unwrap().keys();
    let mut keys: Vec<String> =
        keys.filter(|key| !NO_FLAGS.contains(&key.as_str())).map(|key| flags::flag_name(key)).collect();
    keys.sort();
    assert_eq!(
        keys, names,
        "a flag of args.rs needs its key in config/file.rs, and a line in docs/configuration.md"
    );
}

#[test]
fn the_example_is_a_config() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/agent-config.yaml");
    let (settings, remarks) = settings(&fs::read_to_string(path).unwrap(), &[]).unwrap();
    assert!(remarks.is_empty() && settings.meta_overlay["namespaceIsolation"] == true);
}
