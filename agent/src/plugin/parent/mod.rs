//! The parent of a device: a link of the host, or of the container.

mod choose;
mod selector;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code};

use self::selector::Selector;
use super::PluginCall;
use super::call::format_mac;
use crate::netlink::{Link, Netlink};
use crate::sysfs::{DeviceId, Sysfs};

pub(super) use selector::KEY as OPTION;

/// Which link is meant by `master`, `linkInContainer` and `plexus.parent`.
#[derive(Clone, Debug)]
pub(super) struct Parent<'a> {
    /// Its name; without one, the link of the default route.
    name: Option<&'a str>,
    /// What it is known by instead, in the host.
    selector: Option<Selector>,
    /// It is looked up in the container.
    is_in_container: bool,
}

impl<'a> Parent<'a> {
    /// The parent of a config, whose keys `master` and `linkInContainer` are passed; the error names the key that is wrong.
    pub(super) fn of(
        config: &PluginConfig,
        master: Option<&'a str>,
        is_in_container: bool,
    ) -> Result<Self, CniError> {
        let name = master.filter(|name| !name.is_empty());
        let selector = Selector::of(config)?;
        let other = match (name.is_some(), is_in_container) {
            (true, _) => "master",
            (false, true) => "linkInContainer",
            (false, false) => return Ok(Self { name, selector, is_in_container }),
        };
        if selector.is_some() {
            let plugin = config.plugin_type();
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("{plugin}: key \"plexus.parent\" is given beside \"{other}\""),
            )
            .because("both say which link is meant; remove one"));
        }
        Ok(Self { name, selector, is_in_container })
    }

    /// Whether the config says which link it is.
    pub(super) fn is_named(&self) -> bool {
        self.name.is_some() || self.selector.is_some()
    }

    /// Whether it is a link of the container.
    pub(super) fn is_in_container(&self) -> bool {
        self.is_in_container
    }

    /// The link, which must be there.
    pub(super) fn find(&self, call: &PluginCall<'_>) -> Result<Link, CniError> {
        let (netlink, place) = self.side(call)?;
        let link = match (&self.selector, self.name) {
            (Some(selector), _) => return select(call, selector),
            (None, Some(name)) => {
                netlink.link_by_name(name)?.ok_or_else(|| format!("link {name:?} does not exist in {place}"))
            }
            (None, None) => netlink
                .default_route_link()?
                .ok_or_else(|| format!("{place} has no default route to take it from")),
        };
        link.map_err(|why| {
            let plugin = call.config.plugin_type();
            CniError::new(Code::InvalidConfig, format!("{plugin}: key \"master\" names no link")).because(why)
        })
    }

    /// Its index; for a link of the host that was validated, the quickest way to it.
    pub(super) fn index(&self, call: &PluginCall<'_>) -> Result<u32, CniError> {
        if let Some(name) = self.name.filter(|_| !self.is_in_container)
            && let Some(index) = Netlink::host_index(name)?
        {
            return Ok(index);
        }
        self.find(call).map(|parent| parent.index)
    }

    /// Refuses a parent that is not there, and an MTU larger than its own; `mtu` 0 means the parent's.
    pub(super) fn validate(&self, call: &PluginCall<'_>, mtu: u32) -> Result<(), CniError> {
        if call.sandbox.is_none() && self.is_in_container {
            return Ok(());
        }
        let parent = self.find(call)?;
        if mtu > parent.mtu {
            let plugin = call.config.plugin_type();
            return Err(CniError::new(Code::InvalidConfig, format!("{plugin}: key \"mtu\" is {mtu}"))
                .because(format!("it must be 0 to {}, the MTU of master {}", parent.mtu, parent.name)));
        }
        Ok(())
    }

    /// Refuses a parent that is gone or down.
    pub(super) fn check(&self, call: &PluginCall<'_>) -> Result<Link, CniError> {
        let parent = self.find(call)?;
        if !parent.is_up {
            return Err(CniError::new(Code::CheckFailed, format!("master {} is down", parent.name))
                .because("set it up; the pod has no traffic on this interface until then"));
        }
        Ok(parent)
    }

    /// As [`Self::check`], and refuses a child that is another link's.
    pub(super) fn check_child(&self, call: &PluginCall<'_>, child: &Link) -> Result<(), CniError> {
        let parent = self.check(call)?;
        if child.parent == Some(parent.index) {
            return Ok(());
        }
        Err(CniError::new(
            Code::CheckFailed,
            format!("interface {} is no child of master {}", child.name, parent.name),
        )
        .because("the master was replaced by another link of that name; restart the pod"))
    }

    /// The socket on which its children are made, and what its namespace is called.
    pub(super) fn side<'b>(&self, call: &PluginCall<'b>) -> Result<(&'b Netlink, &'static str), CniError> {
        if self.is_in_container {
            Ok((&call.sandbox()?.netlink, "the container"))
        } else {
            Ok((call.host, "the host"))
        }
    }
}

/// The link of the host that a selector means.
fn select(call: &PluginCall<'_>, selector: &Selector) -> Result<Link, CniError> {
    let instance = &call.agent.instance;
    match selector {
        Selector::Mac(mac) => by_mac(call, *mac),
        Selector::Pci(address) => {
            let names = Sysfs::default().netdevs(&DeviceId::Pci(*address))?;
            match &*names {
                [name] => call
                    .host
                    .link_by_name(name)?
                    .ok_or_else(|| nowhere(call, &format!("link {name} is gone"))),
                [] => Err(nowhere(call, &format!("PCI function {address} has no link in the host"))),
                several => Err(nowhere(
                    call,
                    &format!("PCI function {address} has the links {}; use mac", several.join(", ")),
                )),
            }
        }
        Selector::Eni(eni) => match instance.interface(|interface| interface.eni == *eni)? {
            Some(interface) => by_mac(call, interface.mac),
            None => Err(nowhere(call, &format!("{eni} is not attached to this instance"))),
        },
        Selector::DeviceIndex(index) => {
            match instance.interface(|interface| interface.device_index == *index)? {
                Some(interface) => by_mac(call, interface.mac),
                None => Err(nowhere(
                    call,
                    &format!("nothing is attached to this instance at device index {index}"),
                )),
            }
        }
    }
}

fn by_mac(call: &PluginCall<'_>, mac: [u8; 6]) -> Result<Link, CniError> {
    let links = call.host.links()?;
    match choose::by_mac(&links, mac) {
        Ok(Some(link)) => Ok(link.clone()),
        Ok(None) => {
            Err(nowhere(call, &format!("no link of the host has hardware address {}", format_mac(mac))))
        }
        Err(several) => Err(nowhere(
            call,
            &format!(
                "{} have hardware address {}; name one by \"master\"",
                several.join(", "),
                format_mac(mac)
            ),
        )),
    }
}

fn nowhere(call: &PluginCall<'_>, why: &str) -> CniError {
    let plugin = call.config.plugin_type();
    CniError::new(Code::InvalidConfig, format!("{plugin}: key \"plexus.parent\" names no link"))
        .because(why.to_owned())
}
