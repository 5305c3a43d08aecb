//! Names of the objects, as the original makes them.

use std::net::IpAddr;

/// Name of the IPPool of `range` (CIDR notation): `10.0.0.0-16`, `fd00---64`, with `network_name-` before it where
/// that is not empty.
pub fn pool(network_name: &str, range: &str) -> String {
    prefixed(network_name, normalized(range))
}

/// Name of the IPPool in which the original's fast mode keeps the addresses of one node's slice.
pub fn node_pool(network_name: &str, node: &str, slice: &str) -> String {
    prefixed(network_name, prefixed(node, normalized(slice)))
}

/// Name of the OverlappingRangeIPReservation of an address: `10.0.0.5`, `fd00--5`, `fd00--0`.
pub fn reservation(network_name: &str, address: IpAddr) -> String {
    prefixed(network_name, normalized(&address.to_string()))
}

/// Whether the API server takes this as a name (RFC 1123, as a subdomain).
pub fn is_valid(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|first| is_inner(*first))
            && bytes.last().is_some_and(|last| is_inner(*last))
            && bytes.iter().all(|byte| is_inner(*byte) || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// No name may end with `-`, so `fd00::` counts as `fd00::0`.
fn normalized(text: &str) -> String {
    let end = if text.ends_with(':') { "0" } else { "" };
    format!("{text}{end}").replace([':', '/'], "-")
}

fn prefixed(prefix: &str, name: String) -> String {
    if prefix.is_empty() { name } else { format!("{prefix}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        assert_eq!(pool("", "10.0.0.0/16"), "10.0.0.0-16");
        assert_eq!(pool("blue", "10.0.0.0/16"), "blue-10.0.0.0-16");
        assert_eq!(pool("", "fd00::/64"), "fd00---64");
        assert_eq!(pool("blue", "2001:db8:1::/112"), "blue-2001-db8-1---112");
        assert_eq!(node_pool("", "node-1", "10.0.0.16/28"), "node-1-10.0.0.16-28");
        assert_eq!(node_pool("blue", "node-1", "10.0.0.16/28"), "blue-node-1-10.0.0.16-28");
        let of = |network, text: &str| reservation(network, text.parse().unwrap());
        assert_eq!(of("", "10.0.0.5"), "10.0.0.5");
        assert_eq!(of("blue", "10.0.0.5"), "blue-10.0.0.5");
        assert_eq!(of("", "fd00::5"), "fd00--5");
        assert_eq!(of("", "fd00::"), "fd00--0");
    }

    #[test]
    fn a_name_that_the_api_server_refuses_is_known_before() {
        for valid in ["10.0.0.0-16", "fd00---64", "blue-10.0.0.5", "node-1.example-10.0.0.16-28"] {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in ["", "--1", "Blue-10.0.0.5", "a_b-10.0.0.5", "a..b", "a-.b", &"a".repeat(254)] {
            assert!(!is_valid(invalid), "{invalid}");
        }
    }
}
