use proptest::prelude::*;

use super::*;

fn packet(source: &str, source_port: u16, destination: &str, destination_port: u16, protocol: u8) -> Packet {
    Packet {
        ethertype: Some(EtherType::IPV4.0),
        source: source.parse().ok(),
        destination: destination.parse().ok(),
        protocol: Some(protocol),
        source_port: Some(source_port),
        destination_port: Some(destination_port),
        ..Packet::default()
    }
}

fn wants(filter: &str, packet: &Packet) -> bool {
    filter.parse::<Filter>().unwrap().wants(packet)
}

#[test]
fn filters_say_what_they_seem_to_say() {
    let web = packet("10.0.0.1", 40000, "10.0.0.2", 80, 6);
    for (filter, expected) in [
        ("tcp", true),
        ("udp or arp", false),
        ("host 10.0.0.2", true),
        ("src host 10.0.0.2", false),
        ("dst net 10.0.0.0/30 and port 80", true),
        ("src port 80", false),
        ("not (udp or port 53)", true),
        ("udp or tcp and port 81", false),
        ("(udp or tcp) and port 80", true),
        ("not not tcp", true),
        ("net fd00::/8", false),
        ("ip and not ip6", true),
        ("TCP AND DST PORT 80", true),
    ] {
        assert_eq!(wants(filter, &web), expected, "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_a_reason() {
    for (filter, reason) in [
        ("", "missing"),
        ("tcp udp", "does not belong"),
        ("host 10.0.0", "an address"),
        ("port 70000", "a number"),
        ("net 10.0.0.0/40", "a prefix"),
        ("(tcp", "closing bracket"),
        ("tcp)", "does not belong"),
        ("src tcp", "has no direction"),
        ("quic", "is no test"),
        ("not", "missing"),
        (&"not ".repeat(40), "nested"),
        (&"a".repeat(2000), "longer"),
    ] {
        let error = filter.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains(reason), "{filter}: {error}");
    }
}

/// A filter and its text.
fn filters() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        Just("tcp".to_owned()),
        Just("arp".to_owned()),
        any::<u16>().prop_map(|port| format!("dst port {port}")),
        any::<[u8; 4]>().prop_map(|ip| format!("host {}", IpAddr::from(ip))),
        (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(ip, bits)| format!("src net {}/{bits}", IpAddr::from(ip))),
    ];
    test.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("not ({one})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}) and ({other})")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one}) or ({other})")),
        ]
    })
}

proptest! {
    #[test]
    fn every_text_is_read_or_refused(text in "[a-z0-9 ()./:]{0,80}") {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn logic_holds_for_every_filter(one in filters(), other in filters(), ports: (u16, u16), ips: ([u8; 4], [u8; 4])) {
        let packet = packet(
            &IpAddr::from(ips.0).to_string(), ports.0, &IpAddr::from(ips.1).to_string(), ports.1, 6,
        );
        let (a, b) = (wants(&one, &packet), wants(&other, &packet));
        prop_assert_eq!(wants(&format!("not ({one})"), &packet), !a);
        prop_assert_eq!(wants(&format!("({one}) and ({other})"), &packet), a && b);
        prop_assert_eq!(wants(&format!("({one}) or ({other})"), &packet), a || b);
    }
}
