//! Ports of the host that lead to a container (`portmap`).
//!
//! A new connection to the host is looked up once, by address, protocol and port; the container's chain marks it, where
//! its answers would not come back through the host, and changes its destination. Marked connections to the container
//! get the host's address. The mark counts for the first packet alone, as with the reference plugin.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::claim::Claim;
use super::listing::Element;
use super::script::Script;
use super::table::Table;
use super::{NftError, name};

/// Destination translation comes where everybody's does; in `output` the name `dstnat` is not known.
static TABLE: Table = Table {
    name: "inet plexus-hostport",
    maps: &[
        ("any4", "inet_proto . inet_service : verdict"),
        ("any6", "inet_proto . inet_service : verdict"),
        ("one4", "ipv4_addr . inet_proto . inet_service : verdict"),
        ("one6", "ipv6_addr . inet_proto . inet_service : verdict"),
        ("pods4", "ipv4_addr : verdict"),
        ("pods6", "ipv6_addr : verdict"),
    ],
    chains: &[
        (
            "lookup",
            "",
            &[
                "ip daddr . meta l4proto . th dport vmap @one4",
                "ip6 daddr . meta l4proto . th dport vmap @one6",
                "fib daddr type != local return",
                // The kernel sends nothing out from ::1.
                "ip6 daddr ::1 return",
                "meta nfproto ipv4 meta l4proto . th dport vmap @any4",
                "meta nfproto ipv6 meta l4proto . th dport vmap @any6",
            ],
        ),
        ("prerouting", "{ type nat hook prerouting priority dstnat; policy accept; }", &["jump lookup"]),
        ("output", "{ type nat hook output priority -100; policy accept; }", &["jump lookup"]),
        (
            "postrouting",
            "{ type nat hook postrouting priority srcnat; policy accept; }",
            &["ip daddr vmap @pods4", "ip6 daddr vmap @pods6"],
        ),
        // 127.0.0.0/8 is routed towards pods for the sake of the host: nobody else reaches the host's own services by it.
        (
            "localhost",
            "{ type filter hook prerouting priority filter; policy accept; }",
            &["iifname != \"lo\" ip daddr 127.0.0.0/8 ct direction original drop"],
        ),
    ],
    verdict: "goto",
};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; all of a family where it is unspecified, all where it is absent.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
}

/// Whose connections get the host's address as their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// Nobody's.
    None,
    /// Those from the container's own subnet and from the host's 127.0.0.0/8, whose answers would go astray.
    Needed,
    /// All.
    All,
}

/// The ports of one attachment.
#[derive(Clone, Copy, Debug)]
pub struct HostPorts<'a> {
    /// The container.
    pub container_id: &'a str,
    /// The interface inside it.
    pub ifname: &'a str,
    /// The CNI network.
    pub network: &'a str,
    /// The container's addresses, one of a family at most, with the length of their subnets.
    pub addresses: &'a [IpNet],
    /// The ports.
    pub ports: &'a [HostPort],
    /// Source translation.
    pub translation: Translation,
    /// The bit of the packet mark that asks for it, 0 to 31.
    pub mark_bit: u8,
}

impl Protocol {
    /// As nft writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl HostPort {
    /// Whether packets of this family come to it.
    pub fn is_of(&self, address: IpAddr) -> bool {
        self.host_ip.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4())
    }

    /// The one address that it is limited to.
    fn one_address(&self) -> Option<IpAddr> {
        self.host_ip.filter(|ip| !ip.is_unspecified())
    }

    /// Map and key.
    fn element(&self, address: IpAddr, chain: &str) -> Element {
        let key = format!("{} . {}", self.protocol.name(), self.host_port);
        let (map, key) = match (self.one_address(), address.is_ipv4()) {
            (None, true) => ("any4", key),
            (None, false) => ("any6", key),
            (Some(ip), true) => ("one4", format!("{ip} . {key}")),
            (Some(ip), false) => ("one6", format!("{ip} . {key}")),
        };
        Element { map: map.into(), key, chain: chain.into() }
    }
}

impl HostPorts<'_> {
    /// Puts the rules in place, in one transaction. A port that leads elsewhere is an error if `owner` knows whose chain
    /// that is, and taken over as a leftover otherwise.
    pub fn install(&self, owner: &dyn Fn(&str) -> Option<String>) -> Result<(), NftError> {
        let (chains, elements) = (self.chains(), self.elements());
        self.claim(&chains, &elements).install(&self.rules(), owner)
    }

    /// Takes the rules away; what is not there is fine, and what is not known is found in the ruleset.
    pub fn remove(&self) -> Result<(), NftError> {
        let (chains, elements) = (self.chains(), self.elements());
        self.claim(&chains, &elements).remove().map(drop)
    }

    /// Whether the rules are in place (C090).
    pub fn is_installed(&self) -> Result<bool, NftError> {
        let (chains, elements) = (self.chains(), self.elements());
        let Some(listing) = self.claim(&chains, &elements).installed()? else { return Ok(false) };
        let is_listed = |address: &IpNet, port: &HostPort| {
            let target = format!(" . {} : {} . {}", port.host_port, address.addr(), port.container_port);
            listing.split(['{', '}', ',', '\n']).any(|element| element.trim().ends_with(&target))
        };
        Ok(self.pairs().all(|(address, port)| is_listed(address, port)))
    }

    /// Whether `chain` is this attachment's.
    pub fn is_chain_of(chain: &str, container_id: &str, ifname: &str) -> bool {
        ["port", "masq"].iter().any(|prefix| chain == name::chain(prefix, container_id, ifname))
    }

    /// Removes the rules of all attachments of a network, except those for which `keeps` says so (by their chain).
    pub fn collect(network: &str, keeps: &dyn Fn(&str) -> bool) -> Result<(), NftError> {
        for chain in TABLE.chains_of("port-", network)?.iter().filter(|chain| !keeps(chain)) {
            let chains = [chain.clone(), chain.replacen("port-", "masq-", 1)];
            Claim { table: &TABLE, chains: &chains, network, elements: &[] }.remove()?;
        }
        Ok(())
    }

    fn chains(&self) -> [String; 2] {
        ["port", "masq"].map(|prefix| name::chain(prefix, self.container_id, self.ifname))
    }

    fn claim<'a>(&'a self, chains: &'a [String], elements: &'a [Element]) -> Claim<'a> {
        Claim { table: &TABLE, chains, network: self.network, elements }
    }

    fn pairs(&self) -> impl Iterator<Item = (&IpNet, &HostPort)> {
        let of = |address: &IpNet| {
            let address = address.addr();
            self.ports.iter().filter(move |port| port.is_of(address))
        };
        self.addresses.iter().flat_map(move |address| of(address).map(move |port| (address, port)))
    }

    fn elements(&self) -> Vec<Element> {
        let [port_chain, masquerade_chain] = self.chains();
        let ports = self.pairs().map(|(address, port)| port.element(address.addr(), &port_chain));
        let pods = self.addresses.iter().filter(|_| self.translation != Translation::None).map(|address| {
            let map = if address.addr().is_ipv4() { "pods4" } else { "pods6" };
            let (key, chain) = (address.addr().to_string(), masquerade_chain.clone());
            Element { map: map.into(), key, chain }
        });
        ports.chain(pods).collect()
    }

    fn rules(&self) -> Script {
        let [port_chain, masquerade_chain] = self.chains();
        let table = TABLE.name;
        let mark = 1_u32 << self.mark_bit.min(31);
        let mut rules = Script::default();
        let mut add = |chain: &str, rule: &str| rules.line(format_args!("add rule {table} {chain} {rule}"));
        let set_mark = format!("meta mark set meta mark or {mark:#x}");
        match self.translation {
            Translation::None => {}
            Translation::All => add(&port_chain, &set_mark),
            Translation::Needed => {
                for address in self.addresses {
                    add(&port_chain, &format!("{} {set_mark}", sources(*address)));
                }
            }
        }
        for address in self.addresses {
            for (host_ip, targets) in self.targets(*address) {
                let family = family(address.addr());
                let destination = host_ip.map(|ip| format!("{family} daddr {ip} ")).unwrap_or_default();
                let proto = if address.addr().is_ipv4() { "ipv4" } else { "ipv6" };
                add(
                    &port_chain,
                    &format!(
                        "meta nfproto {proto} {destination}dnat {family} addr . port to meta l4proto . th dport map {{ {} }}",
                        targets.join(", ")
                    ),
                );
            }
        }
        add(&port_chain, "jump in-use");
        if self.translation != Translation::None {
            add(&masquerade_chain, &format!("meta mark and {mark:#x} == {mark:#x} masquerade"));
        }
        rules
    }

    /// Elements of the translation maps, by the address that they are limited to; the limited ones first.
    fn targets(&self, address: IpNet) -> Vec<(Option<IpAddr>, Vec<String>)> {
        let mut targets: BTreeMap<(bool, Option<IpAddr>), Vec<String>> = BTreeMap::new();
        for port in self.ports.iter().filter(|port| port.is_of(address.addr())) {
            let one = port.one_address();
            targets.entry((one.is_none(), one)).or_default().push(format!(
                "{} . {} : {} . {}",
                port.protocol.name(),
                port.host_port,
                address.addr(),
                port.container_port
            ));
        }
        targets.into_iter().map(|((_, one), targets)| (one, targets)).collect()
    }
}

/// Senders whose answers would not pass the host, or not find it.
fn sources(address: IpNet) -> String {
    let subnet = address.trunc();
    if address.addr().is_ipv4() {
        format!("ip saddr {{ {subnet}, 127.0.0.0/8 }}")
    } else {
        format!("ip6 saddr {subnet}")
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: Option<&str>, host_port: u16, container_port: u16) -> HostPort {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        HostPort { protocol: Protocol::Tcp, host_ip, host_port, container_port }
    }

    #[test]
    fn every_port_is_looked_up_once_and_translated_by_one_map_of_each_family() {
        let addresses = ["10.1.0.5/24".parse().unwrap(), "fd00::5/64".parse().unwrap()];
        let ports =
            [port(None, 8080, 80), port(Some("192.0.2.1"), 8080, 81), port(Some("0.0.0.0"), 9000, 90)];
        let ports = HostPorts {
            container_id: "c",
            ifname: "net1",
            network: "blue",
            addresses: &addresses,
            ports: &ports,
            translation: Translation::Needed,
            mark_bit: 13,
        };
        let rules = ports.rules();
        let own: Vec<&str> = rules
            .text()
            .lines()
            .map(|line| line.strip_prefix("add rule inet plexus-hostport ").unwrap())
            .collect();
        assert_eq!(
            own,
            [
                "port-c-net1 ip saddr { 10.1.0.0/24, 127.0.0.0/8 } meta mark set meta mark or 0x2000",
                "port-c-net1 ip6 saddr fd00::/64 meta mark set meta mark or 0x2000",
                "port-c-net1 meta nfproto ipv4 ip daddr 192.0.2.1 dnat ip addr . port to meta l4proto . th dport map \
                 { tcp . 8080 : 10.1.0.5 . 81 }",
                "port-c-net1 meta nfproto ipv4 dnat ip addr . port to meta l4proto . th dport map \
                 { tcp . 8080 : 10.1.0.5 . 80, tcp . 9000 : 10.1.0.5 . 90 }",
                "port-c-net1 meta nfproto ipv6 dnat ip6 addr . port to meta l4proto . th dport map \
                 { tcp . 8080 : fd00::5 . 80 }",
                "port-c-net1 jump in-use",
                "masq-c-net1 meta mark and 0x2000 == 0x2000 masquerade",
            ]
        );
        let keys: Vec<(String, String)> =
            ports.elements().into_iter().map(|element| (element.map, element.key)).collect();
        let expected = [
            ("any4", "tcp . 8080"),
            ("one4", "192.0.2.1 . tcp . 8080"),
            ("any4", "tcp . 9000"),
            ("any6", "tcp . 8080"),
            ("pods4", "10.1.0.5"),
            ("pods6", "fd00::5"),
        ];
        assert_eq!(keys, expected.map(|(map, key)| (map.to_owned(), key.to_owned())));
    }

    #[test]
    fn without_source_translation_no_packet_is_marked() {
        let addresses = ["10.1.0.5/24".parse().unwrap()];
        let ports = HostPorts {
            container_id: "c",
            ifname: "net1",
            network: "blue",
            addresses: &addresses,
            ports: &[port(None, 8080, 80)],
            translation: Translation::None,
            mark_bit: 13,
        };
        assert!(!ports.rules().text().contains("mark") && ports.elements().len() == 1);
    }
}
