//! The network-status annotation: what was attached to a pod, in Multus' shape.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::default_route::is_default;
use crate::device_info::DeviceInfo;
use crate::json::Object;
use crate::result::{CniResult, IpConfig};

/// One interface of a pod.
///
/// Source: multi-net-spec 1.3, "Network Status Annotation"; order and omissions are Multus'.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkStatus {
    /// `<namespace>/<name>` of the NetworkAttachmentDefinition, or the config's name.
    pub name: String,
    /// The interface in the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Its addresses, without prefix length.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its MTU in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether it is the default network's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Name servers.
    pub dns: Object,
    /// Its device.
    #[serde(rename = "device-info", skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// Gateways of its default routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<IpAddr>,
}

/// The elements for one attachment: one for each interface that its result has in the pod.
///
/// With several, the default network's mark goes to the first one whose address has a gateway, else to the first, and
/// addresses without an interface go to the last. `ifname` stands in where the result lists no interface of the pod.
/// `device_info` is said of each, as by Multus.
pub fn of_attachment(
    name: &str,
    ifname: &str,
    result: &CniResult,
    is_default: bool,
    device_info: Option<&DeviceInfo>,
) -> Vec<NetworkStatus> {
    let gateway = gateways(result);
    let element = |interface: &str| NetworkStatus {
        name: name.to_owned(),
        interface: interface.to_owned(),
        dns: dns(result),
        device_info: device_info.cloned(),
        gateway: gateway.clone(),
        ..NetworkStatus::default()
    };
    let mut in_pod = Vec::new();
    let mut elements = Vec::new();
    for (index, interface) in result.interfaces.iter().enumerate() {
        if interface.sandbox.is_some() {
            in_pod.push(index);
            elements.push(NetworkStatus {
                mac: interface.mac.clone(),
                mtu: interface.mtu,
                ..element(&interface.name)
            });
        }
    }
    if elements.is_empty() {
        elements.push(element(ifname));
    }
    let last = elements.len() - 1;
    let mut default_at = None;
    for ip in &result.ips {
        let at = match ip.interface {
            // Addresses of the host's side are no addresses of the pod.
            Some(index) if !in_pod.is_empty() => match in_pod.iter().position(|known| *known == index) {
                Some(at) => at,
                None => continue,
            },
            _ => last,
        };
        elements[at].ips.push(ip.address.addr());
        if ip.gateway.is_some() {
            default_at = default_at.into_iter().chain([at]).min();
        }
    }
    elements[default_at.unwrap_or_default()].default = is_default;
    elements
}

/// The annotation's text, as Multus writes it: four spaces, elements joined by a comma.
///
/// Each element is a [`NetworkStatus`], or one as it was recorded.
pub fn annotation<T: Serialize>(elements: &[T]) -> String {
    let texts: Vec<String> = elements.iter().map(pretty).collect();
    format!("[{}]", texts.join(","))
}

fn pretty<T: Serialize>(element: &T) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Texts, numbers and lists of them: none of these can fail to be written to memory.
    match element.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => serde_json::json!(element).to_string(),
    }
}

/// Gateways of the default routes; one that a route does not name is that of the address of its family, or none.
fn gateways(result: &CniResult) -> Vec<IpAddr> {
    let of_address = |wants_v4: bool| {
        let mut of_family = result.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == wants_v4);
        of_family.find_map(|ip: &IpConfig| ip.gateway)
    };
    let routes = result.routes.iter().filter(|route| is_default(&route.dst));
    routes.filter_map(|route| route.gw.or_else(|| of_address(route.dst.addr().is_ipv4()))).collect()
}

/// Name servers, without empty entries.
fn dns(result: &CniResult) -> Object {
    let is_filled = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    let known = ["nameservers", "domain", "search", "options"];
    let filled = known.iter().filter_map(|key| Some((*key, result.dns.0.get(*key)?)));
    filled.filter(|(_, value)| is_filled(value)).map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(result: &Value, is_default: bool) -> Vec<NetworkStatus> {
        of_attachment("n", "eth0", &CniResult::from_value(result, "result").unwrap(), is_default, None)
    }

    /// The results of a bridge and two macvlans, as real Multus cached them.
    #[test]
    fn the_text_is_what_multus_writes_but_for_the_gateway() {
        let bridge = json!({
            "interfaces": [
                {"mac": "d2:49:19:1a:11:63", "name": "cni0"}, {"mac": "ba:db:6d:12:29:f2", "name": "veth00f78df4"},
                {"mac": "be:69:30:03:e0:64", "name": "eth0", "sandbox": "/n"}],
            "ips": [{"address": "10.201.0.63/16", "gateway": "10.201.0.1", "interface": 2}],
            "routes": [{"dst": "0.0.0.0/0"}]});
        let macvlan = json!({
            "dns": {}, "interfaces": [{"mac": "d2:58:6e:66:f5:82", "name": "net1", "sandbox": "/n"}],
            "ips": [{"address": "10.211.0.2/16", "gateway": "10.211.0.1", "interface": 0, "version": "4"}]});
        let parsed = |value| CniResult::from_value(&value, "result").unwrap();
        let mut elements = of_attachment("lab", "eth0", &parsed(bridge), true, None);
        elements.extend(of_attachment("default/mv1", "net1", &parsed(macvlan), false, None));
        let expected = r#"[{
    "name": "lab",
    "interface": "eth0",
    "ips": [
        "10.201.0.63"
    ],
    "mac": "be:69:30:03:e0:64",
    "default": true,
    "dns": {},
    "gateway": [
        "10.201.0.1"
    ]
},{
    "name": "default/mv1",
    "interface": "net1",
    "ips": [
        "10.211.0.2"
    ],
    "mac": "d2:58:6e:66:f5:82",
    "dns": {}
}]"#;
        assert_eq!(annotation(&elements), expected);
    }

    #[test]
    fn of_several_interfaces_the_one_with_a_gateway_is_the_default() {
        let elements = status(
            &json!({
                "interfaces": [{"name": "host0"}, {"name": "a", "sandbox": "/n"}, {"name": "b", "sandbox": "/n"}],
                "ips": [{"address": "10.0.0.2/24", "interface": 1}, {"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 2},
                        {"address": "fd00::2/64"}, {"address": "10.9.0.1/24", "interface": 0}]}),
            true,
        );
        assert_eq!(elements.iter().map(|one| one.default).collect::<Vec<_>>(), [false, true]);
        assert_eq!(elements[1].ips.len(), 2, "the address without an interface belongs to the last");
        assert!(elements.iter().all(|one| !one.ips.contains(&"10.9.0.1".parse().unwrap())));
    }

    #[test]
    fn without_any_gateway_the_first_is_the_default() {
        let elements = status(
            &json!({"interfaces": [{"name": "a", "sandbox": "/n"}, {"name": "b", "sandbox": "/n"}]}),
            true,
        );
        assert!(elements[0].default && !elements[1].default);
    }

    #[test]
    fn a_route_without_any_gateway_leaves_the_list_empty() {
        let elements =
            status(&json!({"ips": [{"address": "10.0.0.2/24"}], "routes": [{"dst": "0.0.0.0/0"}]}), false);
        assert_eq!((elements[0].gateway.len(), &*elements[0].interface), (0, "eth0"));
    }

    #[test]
    fn name_servers_are_passed_on() {
        let elements =
            status(&json!({"dns": {"search": [], "nameservers": ["10.0.0.53"], "domain": "x"}}), false);
        assert_eq!(
            Value::Object(elements[0].dns.clone()),
            json!({"nameservers": ["10.0.0.53"], "domain": "x"})
        );
    }
}
