//! The pair of links between pod and host: veth, or netkit where that is better.

use std::sync::OnceLock;

use plexus_cni::{CniError, Code};
use serde::Deserialize;

use super::super::PluginCall;
use super::Config;
use crate::datapath::{Mode, XdpChoice};
use crate::netlink::Link;
use crate::record::{LinkKind, PortLink};

/// The option `plexus.link`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LinkChoice {
    /// netkit where nothing is lost by it.
    Auto,
    /// veth.
    #[default]
    Veth,
    /// netkit, or the attachment is refused.
    Netkit,
}

impl LinkChoice {
    /// Refuses netkit together with what cannot be over it.
    pub(super) fn check(self, xdp: XdpChoice, mode: Mode) -> Result<(), CniError> {
        match (self, xdp, mode) {
            (Self::Netkit, XdpChoice::Always, _) => Err(refused(
                "XDP, which \"xdp\" asks for always, cannot deliver into a netkit pair; change one of them",
            )),
            (Self::Netkit, _, Mode::L3) => Err(refused(
                "a network that routes (\"plexus.mode\") has its programs at the host's end of a veth; change one of them",
            )),
            _ => Ok(()),
        }
    }
}

fn refused(why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, "fastpath: key \"plexus.link\" is \"netkit\"").because(why.to_owned())
}

/// What decides beside the option.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    /// The kernel can make such pairs.
    has_netkit: bool,
    /// The network routes.
    routes: bool,
    /// XDP on the uplink delivers to the network's pods.
    delivers_by_xdp: bool,
}

/// The pair for an attachment; refuses one that was asked for and cannot be.
pub(super) fn choose(
    call: &PluginCall<'_>,
    config: &Config,
    uplink: Option<&Link>,
) -> Result<PortLink, CniError> {
    static HAS_NETKIT: OnceLock<bool> = OnceLock::new();
    let asked = config.plexus.link;
    let around = match asked {
        // Nothing depends on them, and asking takes time.
        LinkChoice::Veth => Surroundings { has_netkit: false, routes: false, delivers_by_xdp: false },
        _ => Surroundings {
            has_netkit: *HAS_NETKIT.get_or_init(|| call.host.has_netkit()),
            routes: config.routes(),
            delivers_by_xdp: config.key(call).spec(0, uplink.map(|uplink| uplink.index)).delivers_by_xdp(),
        },
    };
    decide(asked, around).map_err(refused)
}

/// The rule for what [`LinkChoice::check`] lets pass: netkit lets a pod's frames leave without a detour, and XDP on an uplink cannot deliver into it.
fn decide(asked: LinkChoice, around: Surroundings) -> Result<PortLink, &'static str> {
    let (kind, why) = match asked {
        LinkChoice::Veth => (LinkKind::Veth, "the network does not ask for netkit"),
        LinkChoice::Netkit if !around.has_netkit => {
            return Err(
                "the kernel of this node has no netkit that takes hardware addresses (CONFIG_NETKIT, Linux 6.10); \
                        set \"auto\" or \"veth\"",
            );
        }
        LinkChoice::Netkit => (LinkKind::Netkit, "the network asks for it"),
        LinkChoice::Auto if !around.has_netkit => {
            (LinkKind::Veth, "the kernel has no netkit (CONFIG_NETKIT, Linux 6.10)")
        }
        LinkChoice::Auto if around.routes => {
            (LinkKind::Veth, "the network routes, at the host's end of a veth")
        }
        LinkChoice::Auto if around.delivers_by_xdp => {
            (LinkKind::Veth, "XDP delivers from the uplink, which it cannot into netkit")
        }
        LinkChoice::Auto => (LinkKind::Netkit, "the kernel has it, and no XDP delivers from an uplink"),
    };
    Ok(PortLink { kind, why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netkit_is_taken_where_it_is_asked_for_or_where_nothing_is_lost_by_it() {
        use LinkChoice::{Auto, Netkit, Veth};
        for (asked, has_netkit, routes, delivers_by_xdp, wanted) in [
            (Veth, true, false, false, Some(LinkKind::Veth)),
            (Netkit, false, false, false, None),
            (Netkit, true, false, false, Some(LinkKind::Netkit)),
            (Netkit, true, false, true, Some(LinkKind::Netkit)),
            (Auto, false, false, false, Some(LinkKind::Veth)),
            (Auto, true, true, false, Some(LinkKind::Veth)),
            (Auto, true, false, true, Some(LinkKind::Veth)),
            (Auto, true, false, false, Some(LinkKind::Netkit)),
        ] {
            let around = Surroundings { has_netkit, routes, delivers_by_xdp };
            assert_eq!(decide(asked, around).map(|link| link.kind).ok(), wanted, "{asked:?} {around:?}");
        }
    }

    #[test]
    fn what_cannot_be_over_netkit_is_refused_with_it_alone() {
        use LinkChoice::{Auto, Netkit, Veth};
        for (xdp, mode) in [(XdpChoice::Always, Mode::L2), (XdpChoice::Auto, Mode::L3)] {
            assert!(Netkit.check(xdp, mode).is_err(), "{xdp:?} {mode:?}");
            assert!(Auto.check(xdp, mode).is_ok() && Veth.check(xdp, mode).is_ok(), "{xdp:?} {mode:?}");
        }
        assert!(Netkit.check(XdpChoice::Auto, Mode::L2).is_ok());
    }
}
