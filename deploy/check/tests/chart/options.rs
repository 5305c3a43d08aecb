//! What values add to the chart, and which combinations it refuses.

use plexus_deploy::manifest::kind;
use plexus_deploy::schema;
use serde_json::{Value, json};

use crate::support::{container, helm, pod_spec, rendered, texts};

fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects.iter().find(|object| kind(object) == wanted).unwrap_or_else(|| panic!("no {wanted} is rendered"))
}

#[test]
fn every_option_renders_objects_that_follow_their_schema() {
    let Some(helm) = helm() else { return };
    let scraped =
        ["metrics.address=0.0.0.0", "metrics.service.enabled=true", "metrics.serviceMonitor.enabled=true"];
    let options = [
        &scraped[..],
        &["podDisruptionBudget.enabled=true", "networkPolicy.enabled=true"],
        &["networkPolicy.enabled=true", "metrics.enabled=false"],
        &["config.apiVersion=plexus.dev/v1alpha1", "config.kind=AgentConfig"],
        &["multusDaemonConfig.configMapName=multus-daemon-config"],
        &["privileged=true", "openshift.securityContextConstraints=true"],
        &["sysAdmin=true", "bpffs.mountIfMissing=true"],
        &["dhcp=true"],
        &["seccompProfile.type=Unconfined", "appArmorProfile.type=Unconfined", "seLinuxOptions.type=spc_t"],
        &["netns.dir=", "devices.enabled=false", "tap.enabled=false", "cni.primary="],
        &[
            "serviceAccount.annotations.a=b",
            "podAnnotations.a=b",
            "podLabels.a=b",
            "image.pullSecrets[0].name=s",
        ],
        &["log.level=debug", "workers=4"],
        &["whereabouts.installCrds=true", "whereabouts.namespace=network"],
        &["metrics.dashboard.enabled=true"],
        &["cni.primaryDir=/run/a", "cni.readinessIndicatorFile=/run/a/ready"],
        &["cni.readinessIndicatorFile=/run/flannel/subnet.env"],
        &["updateStrategy.type=OnDelete", "updateStrategy.rollingUpdate=null"],
    ];
    for sets in options {
        let objects = rendered(&helm, sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"));
        for object in objects {
            schema::check(&object).unwrap_or_else(|error| panic!("{sets:?}: {error}"));
        }
    }
}

#[test]
fn privileged_is_what_a_value_asks_for_and_replaces_the_capabilities() {
    let Some(helm) = helm() else { return };
    let objects = rendered(&helm, &["privileged=true"]).unwrap();
    let security = &container(of_kind(&objects, "DaemonSet"), "plexusd")["securityContext"];
    assert_eq!(security["privileged"], true);
    assert!(security.get("allowPrivilegeEscalation").is_none(), "the API server refuses both");
    let objects = rendered(&helm, &["sysAdmin=true"]).unwrap();
    let security = &container(of_kind(&objects, "DaemonSet"), "plexusd")["securityContext"];
    let expected = ["NET_ADMIN", "BPF", "PERFMON", "SYS_ADMIN"];
    assert_eq!(texts(&security["capabilities"]["add"]), expected);
    let objects = rendered(&helm, &["dhcp=true"]).unwrap();
    let security = &container(of_kind(&objects, "DaemonSet"), "plexusd")["securityContext"];
    let expected = ["NET_ADMIN", "BPF", "PERFMON", "SYS_ADMIN", "NET_RAW"];
    assert_eq!(texts(&security["capabilities"]["add"]), expected);
}

#[test]
fn tap_devices_can_be_made_unless_a_value_says_otherwise() {
    let Some(helm) = helm() else { return };
    let mounted = |sets: &[&str]| {
        let objects = rendered(&helm, sets).unwrap();
        let set = of_kind(&objects, "DaemonSet");
        let volumes = pod_spec(set)["volumes"].as_array().unwrap().clone();
        let mounts = container(set, "plexusd")["volumeMounts"].as_array().unwrap().clone();
        let volume = volumes.into_iter().find(|volume| volume["name"] == "dev-net");
        let mount = mounts.into_iter().find(|mount| mount["name"] == "dev-net");
        (volume.map(|volume| volume["hostPath"].clone()), mount.map(|mount| mount["mountPath"].clone()))
    };
    // Neither a node without the module nor one that loads it later keeps plexusd from starting.
    let directory = json!({"path": "/dev/net", "type": "DirectoryOrCreate"});
    assert_eq!(mounted(&[]), (Some(directory), Some(json!("/dev/net"))));
    assert_eq!(mounted(&["tap.enabled=false"]), (None, None));
}

#[test]
fn a_changed_config_rolls_the_pods() {
    let Some(helm) = helm() else { return };
    let pod_annotations = |sets: &[&str]| {
        let objects = rendered(&helm, sets).unwrap();
        let set = of_kind(&objects, "DaemonSet");
        assert_eq!(
            pod_spec(set)["volumes"].as_array().unwrap().last().unwrap()["configMap"]["name"],
            "plexus"
        );
        let config = of_kind(&objects, "ConfigMap")["data"]["plexusd.yaml"].clone();
        (set["spec"]["template"]["metadata"]["annotations"]["plexus.dev/config-sha256"].clone(), config)
    };
    let (before, config) = pod_annotations(&["config.key=a"]);
    assert_eq!(config, json!("key: a\n"));
    assert_ne!(before, pod_annotations(&["config.key=b"]).0);
}

#[test]
fn probes_ask_where_plexusd_listens() {
    let Some(helm) = helm() else { return };
    let probe = |sets: &[&str]| {
        let objects = rendered(&helm, sets).unwrap();
        let container = container(of_kind(&objects, "DaemonSet"), "plexusd");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        container["readinessProbe"]["httpGet"]["host"].clone()
    };
    assert_eq!(probe(&[]), "127.0.0.1");
    assert_eq!(probe(&["metrics.address=[::1]"]), "::1");
    assert_eq!(probe(&["metrics.address=0.0.0.0"]), Value::Null, "the node's address is the pod's");
}

#[test]
fn combinations_that_cannot_work_are_refused_with_a_reason() {
    let Some(helm) = helm() else { return };
    let refused = [
        (&["metrics.service.enabled=true"][..], "loopback"),
        (&["metrics.serviceMonitor.enabled=true", "metrics.address=0.0.0.0"], "metrics.service.enabled"),
        (&["metrics.enabled=false", "metrics.service.enabled=true"], "metrics.enabled"),
        (&["config.a=b", "multusDaemonConfig.configMapName=c"], "exclude each other"),
        (&["ipamDataDirs={/var/lib/other}"], "hostDataDirs"),
        (&["multusCacheDir=/var/lib/other"], "hostDataDirs"),
        (&["cni.binDirectory=/x"], "binDirectory"),
        (&["cni.confDir=relative"], "confDir"),
        (&["portsMax=0"], "portsMax"),
        (&["updateStrategy.rollingUpdate.maxSurge=1"], "maxSurge"),
    ];
    for (sets, reason) in refused {
        let error = rendered(&helm, sets).expect_err(&format!("{sets:?} is rendered")).to_string();
        assert!(error.contains(reason), "{sets:?}: {error}");
    }
}
