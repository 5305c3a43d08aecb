//! Which of several links with one hardware address is meant.

use crate::netlink::Link;

/// Kinds of links that have the address of another one.
const BORROWERS: [&str; 4] = ["ipvlan", "ipvtap", "macsec", "vlan"];

/// The link with this address: the one that was built with it, else the one that has it now. Children that share their
/// parent's address are not meant, and a port of a bond is meant only where the bond has another address. The error
/// lists the names of several.
pub(super) fn by_mac(links: &[Link], mac: [u8; 6]) -> Result<Option<&Link>, Vec<String>> {
    let own: Vec<&Link> =
        links.iter().filter(|link| !BORROWERS.contains(&&*link.kind) && link.mac != [0; 6]).collect();
    let built: Vec<&Link> = own.iter().copied().filter(|link| link.permanent_mac == Some(mac)).collect();
    let found =
        if built.is_empty() { own.into_iter().filter(|link| link.mac == mac).collect() } else { built };
    // The bond takes the place of its ports, which cannot have children of their own.
    let is_free = |link: &&&Link| link.controller.is_none();
    let free: Vec<&Link> = found.iter().filter(is_free).copied().collect();
    match &*if free.is_empty() { found } else { free } {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => Err(several.iter().map(|link| link.name.clone()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn link(name: &str, kind: &str, mac: [u8; 6], permanent: Option<[u8; 6]>) -> Link {
        Link { name: name.into(), kind: kind.into(), mac, permanent_mac: permanent, ..Link::default() }
    }

    fn name(links: &[Link]) -> Result<Option<&str>, Vec<String>> {
        by_mac(links, MAC).map(|found| found.map(|link| &*link.name))
    }

    #[test]
    fn the_built_in_address_goes_before_the_present_one() {
        let links = [link("eth0", "", MAC, Some(OTHER)), link("eth1", "", OTHER, Some(MAC))];
        assert_eq!(name(&links), Ok(Some("eth1")));
        assert_eq!(name(&links[..1]), Ok(Some("eth0")));
        assert_eq!(name(&[]), Ok(None));
    }

    #[test]
    fn children_that_share_the_address_are_not_meant() {
        let links = [
            link("eth0", "", MAC, None),
            link("ipvl0", "ipvlan", MAC, None),
            link("eth0.5", "vlan", MAC, None),
        ];
        assert_eq!(name(&links), Ok(Some("eth0")));
    }

    #[test]
    fn a_bond_goes_before_its_port_and_two_of_a_kind_are_refused() {
        let mut port = link("eth0", "", MAC, None);
        port.controller = Some(7);
        let bond = link("bond0", "bond", MAC, None);
        assert_eq!(name(&[port.clone(), bond]), Ok(Some("bond0")));
        assert_eq!(name(&[port]), Ok(Some("eth0")));
        let two = [link("eth0", "", MAC, None), link("eth1", "", MAC, None)];
        assert_eq!(name(&two), Err(vec!["eth0".to_owned(), "eth1".to_owned()]));
    }
}
