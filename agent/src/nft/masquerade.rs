//! Source address translation for traffic that leaves an attachment's subnet (`ipMasq`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{DEADLINE, NftError, command, ignore_refusal, name, remove_unused_table};

/// What exists once for all attachments; multicast leaves as it is, as with the reference plugins.
const BASE: &str = "\
add table inet plexus
add map inet plexus masquerade4 { type ipv4_addr : verdict; }
add map inet plexus masquerade6 { type ipv6_addr : verdict; }
add chain inet plexus postrouting { type nat hook postrouting priority srcnat; policy accept; }
flush chain inet plexus postrouting
add rule inet plexus postrouting ip daddr 224.0.0.0/4 return
add rule inet plexus postrouting ip6 daddr ff00::/8 return
add rule inet plexus postrouting ip saddr vmap @masquerade4
add rule inet plexus postrouting ip6 saddr vmap @masquerade6
add chain inet plexus in-use
";

/// What a removal needs, so that it can name things that were never there.
const BASE_TO_REMOVE: &str = "\
add table inet plexus
add map inet plexus masquerade4 { type ipv4_addr : verdict; }
add map inet plexus masquerade6 { type ipv6_addr : verdict; }
add chain inet plexus in-use
";

/// Masquerading of one attachment.
#[derive(Clone, Copy, Debug)]
pub struct Masquerade<'a> {
    /// The container.
    pub container_id: &'a str,
    /// The interface inside it.
    pub ifname: &'a str,
    /// Its addresses, each with the prefix length of the subnet that is not translated.
    pub addresses: &'a [IpNet],
}

impl Masquerade<'_> {
    /// Puts the rules in place, in one transaction; rules of another attachment with the same address are replaced,
    /// because that one can only be a leftover.
    pub fn install(&self) -> Result<(), NftError> {
        match command::run(&self.install_script(), DEADLINE) {
            Err(NftError::Refused(_)) => {
                for address in self.addresses {
                    // Refused where nobody holds the address: then there is nothing to take.
                    ignore_refusal(command::run(&delete_element(address.addr()), DEADLINE))?;
                }
                command::run(&self.install_script(), DEADLINE).map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// Takes the rules away; what is not there is fine, and what another attachment holds by now is left alone.
    ///
    /// Where `addresses` are not known any more, or not all ours, the ruleset itself says which lead to our chain.
    pub fn remove(&self) -> Result<(), NftError> {
        let known: Vec<IpAddr> = self.addresses.iter().map(IpNet::addr).collect();
        match command::run(&self.remove_script(&known), DEADLINE) {
            Err(NftError::Refused(_)) => {
                let mut held = Vec::new();
                // Two runs: nft 1.0.6 forgets the first map when it is asked for both.
                for map in ["masquerade4", "masquerade6"] {
                    held.extend(
                        self.held_in(&command::run(&format!("list map inet plexus {map}\n"), DEADLINE)?),
                    );
                }
                command::run(&self.remove_script(&held), DEADLINE)?;
            }
            outcome => drop(outcome?),
        }
        remove_unused_table("inet")
    }

    /// Whether the rules are in place (C090).
    pub fn is_installed(&self) -> Result<bool, NftError> {
        match command::run(&self.query_script(), DEADLINE) {
            Ok(listing) => {
                let verdict = format!("goto {} }}", self.chain());
                let elements = listing.matches(&*verdict).count();
                Ok(elements == self.addresses.len()
                    && listing.lines().any(|line| line.trim() == "masquerade"))
            }
            Err(NftError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn chain(&self) -> String {
        name::chain("masq", self.container_id, self.ifname)
    }

    fn install_script(&self) -> String {
        let chain = self.chain();
        let exempt = self.addresses.iter().map(|address| {
            let (family, own, subnet) = (family(*address), address.addr(), address.trunc());
            format!("add rule inet plexus {chain} {family} saddr {own} {family} daddr {subnet} return\n")
        });
        let elements = self.addresses.iter().map(|address| add_element(address.addr(), &chain));
        format!(
            "{BASE}add chain inet plexus {chain}\nflush chain inet plexus {chain}\n{}\
             add rule inet plexus {chain} masquerade\nadd rule inet plexus {chain} jump in-use\n{}",
            exempt.collect::<String>(),
            elements.collect::<String>()
        )
    }

    /// An element that is not there is added first: deleting what does not exist would fail.
    fn remove_script(&self, addresses: &[IpAddr]) -> String {
        let chain = self.chain();
        let elements =
            addresses.iter().map(|address| add_element(*address, &chain) + &delete_element(*address));
        format!(
            "{BASE_TO_REMOVE}add chain inet plexus {chain}\n{}\
             flush chain inet plexus {chain}\ndelete chain inet plexus {chain}\n",
            elements.collect::<String>()
        )
    }

    /// The addresses that lead to our chain, in a listing of maps.
    fn held_in(&self, listing: &str) -> Vec<IpAddr> {
        let verdict = format!("goto {}", self.chain());
        let elements = listing.split([',', '{', '}', '\n']).filter_map(|element| element.split_once(" : "));
        let ours = elements.filter(|(_, found)| found.trim() == verdict);
        ours.filter_map(|(address, _)| address.trim().parse().ok()).collect()
    }

    fn query_script(&self) -> String {
        let elements = self.addresses.iter().map(|address| {
            let address = address.addr();
            format!("get element inet plexus {} {{ {address} }}\n", map(address))
        });
        format!("list chain inet plexus {}\n{}", self.chain(), elements.collect::<String>())
    }
}

fn add_element(address: IpAddr, chain: &str) -> String {
    format!("add element inet plexus {} {{ {address} : goto {chain} }}\n", map(address))
}

fn delete_element(address: IpAddr) -> String {
    format!("delete element inet plexus {} {{ {address} }}\n", map(address))
}

fn map(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "masquerade4" } else { "masquerade6" }
}

fn family(address: IpNet) -> &'static str {
    if address.addr().is_ipv4() { "ip" } else { "ip6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_translated_outside_its_own_subnet_only() {
        let addresses = ["10.1.0.5/24".parse().unwrap(), "fd00::5/64".parse().unwrap()];
        let masquerade = Masquerade { container_id: "c", ifname: "net1", addresses: &addresses };
        let script = masquerade.install_script();
        let own: Vec<&str> = script.strip_prefix(BASE).unwrap().lines().collect();
        assert_eq!(
            own,
            [
                "add chain inet plexus masq-c-net1",
                "flush chain inet plexus masq-c-net1",
                "add rule inet plexus masq-c-net1 ip saddr 10.1.0.5 ip daddr 10.1.0.0/24 return",
                "add rule inet plexus masq-c-net1 ip6 saddr fd00::5 ip6 daddr fd00::/64 return",
                "add rule inet plexus masq-c-net1 masquerade",
                "add rule inet plexus masq-c-net1 jump in-use",
                "add element inet plexus masquerade4 { 10.1.0.5 : goto masq-c-net1 }",
                "add element inet plexus masquerade6 { fd00::5 : goto masq-c-net1 }",
            ]
        );
    }

    #[test]
    fn the_ruleset_says_which_addresses_are_ours() {
        let masquerade = Masquerade { container_id: "c", ifname: "net1", addresses: &[] };
        let listing = "table inet plexus {\n\tmap masquerade4 {\n\t\ttype ipv4_addr : verdict\n\
                       \t\telements = { 10.1.0.5 : goto masq-c-net1, 10.1.0.6 : goto masq-c-net10,\n\
                       \t\t\t     10.1.0.7 : goto masq-c-net1 }\n\t}\n}\n\tmap masquerade6 {\n\
                       \t\telements = { fd00::5 : goto masq-c-net1 }\n";
        let held: Vec<String> = masquerade.held_in(listing).iter().map(ToString::to_string).collect();
        assert_eq!(held, ["10.1.0.5", "10.1.0.7", "fd00::5"]);
    }

    #[test]
    fn a_removal_names_nothing_of_other_attachments() {
        let addresses = ["10.1.0.5/24".parse().unwrap()];
        let script = Masquerade { container_id: "c", ifname: "net1", addresses: &addresses }
            .remove_script(&["10.1.0.5".parse().unwrap()]);
        assert!(script.ends_with("delete chain inet plexus masq-c-net1\n"));
        assert!(script.contains("delete element inet plexus masquerade4 { 10.1.0.5 }\n"));
        assert!(
            !script.contains("delete table")
                && !script.contains("flush map")
                && !script.contains("postrouting")
        );
    }
}
