use plexus_cni::args::CniArgs;
use serde_json::json;

use super::*;

fn config(document: &Value, args: &str) -> Result<Config, CniError> {
    let args = CniArgs::parse(args).unwrap();
    let document = document.as_object().unwrap().clone();
    Config::of(&crate::ipam::testing::request(&document, &args))
}

#[test]
fn every_key_is_read() {
    let config = config(
        &json!({"ipam": {
            "type": "whereabouts", "range": "10.0.0.0/24", "range_start": "10.0.0.5", "range_end": "10.0.0.9",
            "exclude": ["10.0.0.6/32"], "ipRanges": [{"range": "fd00::10-fd00::20/64"}], "gateway": "10.0.0.7",
            "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.0.0.1"]}, "network_name": "blue",
            "addresses": [{"address": "10.9.0.1/24", "gateway": "10.9.0.254"}], "enable_overlapping_ranges": false,
            "log_file": "/x", "leader_lease_duration": 1500, "kubernetes": {"kubeconfig": "/y"}, "sleep_for_race": 0,
        }}),
        "",
    )
    .unwrap();
    let [four, six] = &config.parts[..] else { panic!("{config:?}") };
    assert_eq!((four.pool.as_str(), six.pool.as_str()), ("blue-10.0.0.0-24", "blue-fd00---64"));
    assert_eq!((four.range.first, four.range.last, four.range.capacity()), (5, 9, 3));
    assert_eq!((six.range.first, six.range.last), (0x10, 0x20));
    assert!(!config.overlapping && config.gateway.is_some() && config.routes.len() == 1);
    assert_eq!(config.addresses[0].gateway.unwrap().to_string(), "10.9.0.254");
    assert_eq!(config.node_slice_size, "");
}

#[test]
fn a_requested_address_goes_to_the_range_that_gives_it() {
    let ipam = json!({"range": "10.0.0.0/24", "ipRanges": [{"range": "fd00::/64"}], "exclude": ["10.0.0.9"]});
    let document = json!({"ipam": ipam, "runtimeConfig": {"ips": ["fd00::7/64", "10.0.0.7"]}});
    let wanted: Vec<_> =
        config(&document, "").unwrap().parts.iter().map(|part| part.wanted.unwrap()).collect();
    assert_eq!(wanted.iter().map(IpAddr::to_string).collect::<Vec<_>>(), ["10.0.0.7", "fd00::7"]);
    let wanted = config(&json!({"ipam": ipam}), "IP=10.0.0.8/24").unwrap().parts[0].wanted;
    assert_eq!(wanted.unwrap().to_string(), "10.0.0.8");
    for (ips, why) in [
        (json!(["10.0.1.7"]), "outside"),
        (json!(["10.0.0.9"]), "excluded"),
        (json!(["10.0.0.0"]), "outside"),
        (json!(["10.0.0.7", "10.0.0.8"]), "another one"),
    ] {
        let error = config(&json!({"ipam": ipam, "runtimeConfig": {"ips": ips}}), "").unwrap_err();
        assert_eq!(error.code, Code::AddressUnavailable);
        assert!(error.details.contains(why), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_key() {
    for (ipam, named) in [
        (json!({}), "no range"),
        (json!({"range": "x"}), "ipam.range"),
        (json!({"range": 3}), "ipam"),
        (json!({"ipRanges": [{"range": "10.0.0.0/24"}, {"range": "x"}]}), "ipam.ipRanges[1].range"),
        (json!({"range": "10.0.0.0/24", "gateway": "x"}), "ipam.gateway"),
        (
            json!({"range": "10.0.0.0/24", "addresses": [{"address": "10.0.0.1"}]}),
            "ipam.addresses[0].address",
        ),
        (json!({"range": "10.0.0.0/24", "network_name": "Blue"}), "IPPool"),
        (json!({"range": "::/64"}), "IPPool"),
    ] {
        let error = config(&json!({"ipam": ipam}), "").unwrap_err();
        assert!(error.code == Code::InvalidConfig && error.msg.contains(named), "{error}");
    }
}
