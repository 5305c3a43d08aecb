//! Forwarding of an attachment's packets where the host's policy is to drop, and isolation of bridges (`firewall`).
//!
//! A verdict of accept in one table does not outweigh a drop in another, so two things work together: our table marks
//! the packets that may pass, just before the host's own filter, and takes the mark away just behind it; the filter that
//! iptables made has one rule at its head that accepts what is marked. That rule is one that iptables can read: with any
//! other it would refuse to handle its table.

mod filter;
mod isolation;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::filter::is_firewalld_there;
use super::claim::Claim;
use super::listing::Element;
use super::script::Script;
use super::table::Table;
use super::{NftError, name};

/// The bit of the packet mark between the chains `before` and `behind`; iptables' filter stands between them.
const MARK: &str = "meta mark and 0x1000 == 0x1000";

static TABLE: Table = Table {
    name: "inet plexus-firewall",
    maps: &[
        ("pods4", "ipv4_addr : verdict"),
        ("pods6", "ipv6_addr : verdict"),
        ("same", "ifname : verdict"),
        ("isolated", "ifname : verdict"),
        ("bridges-same", "ifname"),
        ("bridges-isolated", "ifname"),
    ],
    chains: &[
        (
            "before",
            "{ type filter hook forward priority filter - 10; policy accept; }",
            &[
                "iifname vmap @same",
                "iifname vmap @isolated",
                "ip saddr vmap @pods4",
                "ip daddr vmap @pods4",
                "ip6 saddr vmap @pods6",
                "ip6 daddr vmap @pods6",
            ],
        ),
        (
            "behind",
            "{ type filter hook forward priority filter + 10; policy accept; }",
            &["meta mark and 0x1000 == 0x1000 meta mark set meta mark and 0xffffefff"],
        ),
    ],
    verdict: "jump",
};

/// Attachments that changed the host's filter since plexusd runs, one at a time: looking and changing are two runs.
static FILTER: Mutex<()> = Mutex::new(());

/// From where connections to the container may come, over bridges of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressPolicy<'a> {
    /// From everywhere.
    Open,
    /// Not known, at the end of an attachment whose result was never written.
    Unknown,
    /// Not from other bridges whose attachments have a policy.
    SameBridge {
        /// The attachment's bridge.
        bridge: &'a str,
    },
    /// Not from its own bridge either.
    Isolated {
        /// The attachment's bridge.
        bridge: &'a str,
        /// The attachment's port on it.
        port: &'a str,
    },
}

/// The rules of one attachment.
#[derive(Clone, Copy, Debug)]
pub struct Firewall<'a> {
    /// The container.
    pub container_id: &'a str,
    /// The interface inside it.
    pub ifname: &'a str,
    /// The CNI network.
    pub network: &'a str,
    /// The container's addresses.
    pub addresses: &'a [IpAddr],
    /// Its policy.
    pub ingress: IngressPolicy<'a>,
    /// The administrator's own chain, which is asked first.
    pub admin_chain: &'a str,
}

impl Firewall<'_> {
    /// Puts the rules in place. An address that leads elsewhere is an error if `owner` knows whose chain that is.
    pub fn install(&self, owner: &dyn Fn(&str) -> Option<String>) -> Result<(), NftError> {
        let _guard = lock();
        let (chains, elements) = (self.chains(), self.elements());
        self.claim(&chains, &elements).install(&self.rules(), owner)?;
        isolation::install(self, owner)?;
        for family in self.families() {
            filter::open(family, self.admin_chain)?;
        }
        Ok(())
    }

    /// Takes the rules away; what is not there is fine.
    pub fn remove(&self) -> Result<(), NftError> {
        let _guard = lock();
        let (chains, elements) = (self.chains(), self.elements());
        let is_last = self.claim(&chains, &elements).remove()?;
        isolation::remove(self, is_last)?;
        if is_last { filter::close() } else { Ok(()) }
    }

    /// Whether the rules are in place (C090).
    pub fn is_installed(&self) -> Result<bool, NftError> {
        let (chains, elements) = (self.chains(), self.elements());
        let Some(listing) = self.claim(&chains, &elements).installed()? else { return Ok(false) };
        let has_rules = self.addresses.iter().all(|address| {
            let family = family(*address);
            ["saddr", "daddr"].iter().all(|side| listing.contains(&format!("{family} {side} {address} ")))
        });
        if !has_rules || !isolation::is_installed(self)? {
            return Ok(false);
        }
        for family in self.families() {
            if !filter::is_open(family)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `chain` is this attachment's.
    pub fn is_chain_of(chain: &str, container_id: &str, ifname: &str) -> bool {
        chain == name::chain("pass", container_id, ifname)
    }

    /// Removes the rules of all attachments of a network, except those for which `keeps` says so (by their chain).
    pub fn collect(network: &str, keeps: &dyn Fn(&str) -> bool) -> Result<(), NftError> {
        let _guard = lock();
        let mut is_last = false;
        for chain in TABLE.chains_of("pass-", network)?.iter().filter(|chain| !keeps(chain)) {
            let chains = [chain.clone()];
            is_last = Claim { table: &TABLE, chains: &chains, network, elements: &[] }.remove()?;
        }
        isolation::collect(network, keeps)?;
        if is_last { filter::close() } else { Ok(()) }
    }

    fn chains(&self) -> [String; 1] {
        [name::chain("pass", self.container_id, self.ifname)]
    }

    fn claim<'a>(&'a self, chains: &'a [String], elements: &'a [Element]) -> Claim<'a> {
        Claim { table: &TABLE, chains, network: self.network, elements }
    }

    fn elements(&self) -> Vec<Element> {
        let [chain] = self.chains();
        let element = |address: &IpAddr| Element {
            map: if address.is_ipv4() { "pods4" } else { "pods6" }.into(),
            key: address.to_string(),
            chain: chain.clone(),
        };
        self.addresses.iter().map(element).collect()
    }

    fn families(&self) -> impl Iterator<Item = &'static str> {
        let has = |is_ipv4| self.addresses.iter().any(|address| address.is_ipv4() == is_ipv4);
        [(true, "ip"), (false, "ip6")]
            .into_iter()
            .filter(move |(is_ipv4, _)| has(*is_ipv4))
            .map(|(_, family)| family)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// What the container sends may pass, and what answers it, and what somebody translated to it on purpose.
    fn rules(&self) -> Script {
        let [chain] = self.chains();
        let mut rules = Script::default();
        let mut add = |rule: &str| rules.line(format_args!("add rule {} {chain} {rule}", TABLE.name));
        for address in self.addresses {
            let family = family(*address);
            for condition in [
                format!("{family} saddr {address}"),
                format!("{family} daddr {address} ct state established,related"),
                format!("{family} daddr {address} ct status dnat"),
            ] {
                add(&format!("{condition} meta mark set meta mark or 0x1000"));
            }
        }
        // No packet comes to what follows: it keeps from being deleted what the attachment needs.
        add("return");
        add("jump in-use");
        isolation::add_rules(self, &chain, &mut rules);
        rules
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

/// A panic under the lock leaves the ruleset as a killed process would; every step copes with that.
fn lock() -> MutexGuard<'static, ()> {
    FILTER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pod_sends_passes_and_of_what_it_gets_answers_and_translated_connections() {
        let addresses = ["10.1.0.5".parse().unwrap()];
        let firewall = Firewall {
            container_id: "c",
            ifname: "net1",
            network: "blue",
            addresses: &addresses,
            ingress: IngressPolicy::SameBridge { bridge: "br0" },
            admin_chain: "",
        };
        let rules = firewall.rules();
        let own: Vec<&str> = rules
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("add rule inet plexus-firewall "))
            .collect();
        assert_eq!(
            own,
            [
                "pass-c-net1 ip saddr 10.1.0.5 meta mark set meta mark or 0x1000",
                "pass-c-net1 ip daddr 10.1.0.5 ct state established,related meta mark set meta mark or 0x1000",
                "pass-c-net1 ip daddr 10.1.0.5 ct status dnat meta mark set meta mark or 0x1000",
                "pass-c-net1 return",
                "pass-c-net1 jump in-use",
                "same-br0 oifname \"br0\" return",
                "same-br0 oifname @bridges-same drop",
                "same-br0 oifname @bridges-isolated drop",
                "pass-c-net1 jump same-br0",
            ]
        );
    }
}
