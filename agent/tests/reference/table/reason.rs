//! Reasons that hold for many plugins.

use crate::reference::row::{Difference, differs};

/// Of every link that the reference makes.
pub(super) const QUEUE_LENGTH: Difference = differs(
    "*/*/links/*/txqlen",
    "the kernel's default of 1000; 1.1.1 sets 0, which means nothing on a link without a queue",
);
/// Of IPv6 addresses.
pub(super) const NO_DAD: Difference = differs(
    "*/*/addresses/*/nodad",
    "addresses that IPAM gave are set without duplicate address detection, so that no pod waits for it",
);
/// Of IPv6 addresses.
pub(super) const ANNOUNCED: Difference = differs(
    "added/pod/sysctls/ipv6 conf/net1/ndisc_notify",
    "IPv6 addresses are announced when the link comes up; 1.1.1 announces those of IPv4 only",
);
/// Of IPv4 addresses on kinds where the reference does it not.
pub(super) const ANNOUNCED_IPV4: Difference = differs(
    "added/pod/sysctls/ipv4 conf/net1/arp_notify",
    "addresses are announced when the link comes up, as on every other kind",
);
/// Of kinds for which the reference asks for IPAM.
pub(super) const WITHOUT_IPAM: Difference = differs(
    "add",
    "without IPAM the interface is up and has no address, as with macvlan; the reference refuses",
);
/// Of each refused ADD.
pub(super) const CODE: Difference = differs(
    "add/code",
    "the code that says what is wrong (ARCHITECTURE.md, Errors); the reference has 999 for all",
);
/// Of a refused ADD.
pub(super) const LOCK: Difference = differs(
    "deleted/files/*lock",
    "nothing is made for an ADD that is refused; the reference's IPAM makes its directory and lock first",
);
/// Of DEL with a config that ADD refused.
pub(super) const DEL_SUCCEEDS: Difference =
    differs("del", "DEL succeeds: it needs no valid config, and what it cannot read holds nothing");
/// Of routes without a gateway.
pub(super) const CHECK_WITHOUT_GATEWAY: Difference = differs(
    "check",
    "CHECK succeeds; 1.1.1 compares a route without `gw` with one that has none, and refuses its own ADD's work",
);
/// Of DEL where the name belonged to somebody else.
pub(super) const NAME_TAKEN: Difference = differs(
    "deleted/pod",
    "DEL deletes the interface that ADD made, known by its index; the reference deletes whatever has the name",
);
/// Of keys that came later.
pub(super) const NEWER: Difference = differs("add", "a key that came after version 1.1.1");
/// What follows from an ADD that succeeds on one side only.
pub(super) const ONE_SIDED: Difference = differs(
    "deleted",
    "what remains of the attachment, by design, where it succeeds; see the row's other difference",
);
/// Of every port.
pub(super) const GATES: Difference = differs(
    "added/*/qdiscs/* clsact",
    "the data plane's counters and limits stand there as filters; no packet is queued",
);
/// Of masquerading.
pub(super) const MASQUERADING: [Difference; 3] = [
    differs("added/host/filter/inet plexus", "masquerading by nftables, in a table of our own"),
    differs("added/host/filter/ip* nat", "the reference masquerades by iptables"),
    differs("deleted/host/filter/ip* nat", "the reference leaves the empty chains of iptables"),
];
