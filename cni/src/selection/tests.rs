//! Both forms of the annotation, right and wrong.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::annotation::NETWORKS;

fn parse(text: &str) -> Result<Vec<NetworkSelectionElement>, CniError> {
    parse_selection(NETWORKS, text, "pod-ns")
}

/// The error of a list with one good element and the one given.
fn error_of(element: &Value) -> CniError {
    parse(&json!([{"name": "good"}, element]).to_string()).unwrap_err()
}

#[test]
fn the_short_form_takes_the_pods_namespace_unless_it_names_one() {
    let elements = parse("mv1, other/mv2@eth9 ,mv3@x").unwrap();
    assert_eq!(
        elements,
        [
            NetworkSelectionElement::new("pod-ns", "mv1", None),
            NetworkSelectionElement::new("other", "mv2", Some("eth9")),
            NetworkSelectionElement::new("pod-ns", "mv3", Some("x")),
        ]
    );
}

#[test]
fn the_json_form_has_every_field() {
    let text = json!([{
        "name": "n.example", "namespace": "ns", "interface": "data0", "ips": ["10.0.0.5/24", "fd00::5"],
        "mac": "02-00-00-00-00-0A", "infiniband-guid": "24:8a:07:03:00:8d:ae:2e",
        "portMappings": [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 1000, "ingressBurst": 2000}, "deviceID": "0000:03:02.0",
        "cni-args": {"k": [1]}, "default-route": ["10.0.0.1", "fd00::1"], "ipam-claim-reference": "claim",
    }]);
    let element = &parse(&text.to_string()).unwrap()[0];
    assert_eq!(element.mac.as_deref(), Some("02:00:00:00:00:0a"));
    assert_eq!(element.default_route.as_ref().unwrap().len(), 2);
    let mut expected = text[0].clone();
    expected["mac"] = json!("02:00:00:00:00:0a");
    assert_eq!(element.to_value(), expected);
}

#[test]
fn the_legacy_interface_request_counts_where_there_is_no_interface() {
    let elements =
        parse(r#"[{"name":"a","interfaceRequest":"x"},{"name":"a","interfaceRequest":"x","interface":"y"}]"#);
    let names: Vec<_> = elements.unwrap().into_iter().map(|element| element.interface.unwrap()).collect();
    assert_eq!(names, ["x", "y"]);
}

#[test]
fn an_empty_default_route_is_not_an_absent_one() {
    let elements =
        parse(r#"[{"name":"a","default-route":[]},{"name":"b"},{"name":"c","default-route":null}]"#).unwrap();
    assert_eq!(elements[0].default_route, Some(vec![]));
    assert!(elements[1].default_route.is_none() && elements[2].default_route.is_none());
}

#[test]
fn blank_text_selects_nothing_and_an_empty_item_is_an_error() {
    assert!(
        parse("").unwrap().is_empty() && parse(" \n").unwrap().is_empty() && parse("[]").unwrap().is_empty()
    );
    assert!(parse("a,,b").unwrap_err().msg.contains("element 1"));
}

#[test]
fn a_name_cannot_be_a_path_or_a_long_interface() {
    for wrong in
        ["../a", "a/b/c", "a@b@c", "a@", "A", "a@sixteen-bytes-ab", "a@x/y", "a@x y", "a b", "-a", "a/", "/a"]
    {
        let error = parse(wrong).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig, "{wrong}");
        assert!(error.msg.contains(NETWORKS) && error.msg.contains("element 0"), "{error}");
    }
}

#[test]
fn a_wrong_field_is_named_with_its_element() {
    for (field, value) in [
        ("namespace", json!("a/b")),
        ("interface", json!("sixteen-bytes-ab")),
        ("ips", json!(["10.0.0.300"])),
        ("mac", json!("00:00:00:00:00:00")),
        ("mac", json!("01:00:00:00:00:01")),
        ("mac", json!("02:00:00:00:00")),
        ("infiniband-guid", json!("02:00:00:00:00:01")),
        ("portMappings", json!([{"hostPort": 70000, "containerPort": 1}])),
        ("portMappings", json!([{"hostPort": 7}])),
        ("bandwidth", json!({"ingressRate": -1})),
        ("bandwidth", json!({"ingresRate": 1})),
        ("deviceID", json!("a b")),
        ("cni-args", json!("a=b")),
        ("default-route", json!(["10.0.0.1", "10.0.0.2"])),
        ("default-route", json!(["0.0.0.0"])),
        ("ips", json!(7)),
    ] {
        let error = error_of(&json!({"name": "bad", field: value}));
        assert_eq!(error.code, Code::InvalidConfig, "{field}");
        assert!(error.msg.contains("element 1"), "{error}");
        assert!(error.to_string().contains(field), "{field}: {error}");
    }
    for wrong in [json!({}), json!({"name": "../x"}), json!(null), json!("name")] {
        assert!(error_of(&wrong).msg.contains("element 1"));
    }
}

#[test]
fn too_much_is_refused() {
    assert!(parse(&vec!["a"; NETWORKS_MAX + 1].join(",")).unwrap_err().details.contains("at most"));
    assert!(parse(&"a".repeat(ANNOTATION_BYTES_MAX + 1)).unwrap_err().details.contains("bytes"));
    assert!(parse(&"[".repeat(100_000)).is_err());
}

fn element() -> impl Strategy<Value = NetworkSelectionElement> {
    let label = "[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?";
    (label, label, proptest::option::of("[a-z][a-z0-9.-]{0,13}")).prop_map(|(namespace, name, interface)| {
        NetworkSelectionElement::new(&namespace, &name, interface.as_deref())
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        if let Ok(elements) = parse(&text) {
            prop_assert!(elements.len() <= NETWORKS_MAX);
        }
    }

    #[test]
    fn text_that_resembles_a_selection_does_not_either(text in r#"[\[\]{}":,/@a-z0-9. -]{0,60}"#) {
        if let Ok(elements) = parse(&text) {
            prop_assert!(elements.iter().all(|element| is_dns_label(&element.namespace) && !element.name.contains('/')));
        }
    }

    #[test]
    fn both_forms_say_the_same(elements in proptest::collection::vec(element(), 1..8)) {
        let short: Vec<String> = elements
            .iter()
            .map(|element| {
                let interface = element.interface.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
                format!("{}/{}{interface}", element.namespace, element.name)
            })
            .collect();
        let json: Vec<Value> = elements.iter().map(NetworkSelectionElement::to_value).collect();
        prop_assert_eq!(&parse(&short.join(",")).unwrap(), &elements);
        prop_assert_eq!(&parse(&Value::from(json).to_string()).unwrap(), &elements);
    }
}
