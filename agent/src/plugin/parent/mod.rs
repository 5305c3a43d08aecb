//! The parent of a device: a link of the host, or of the container.

use plexus_cni::{CniError, Code};

use super::PluginCall;
use crate::netlink::{Link, Netlink};

/// Which link is meant by `master` and `linkInContainer`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent<'a> {
    /// Its name; without one, the link of the default route.
    pub(super) name: Option<&'a str>,
    /// It is looked up in the container.
    pub(super) is_in_container: bool,
}

impl Parent<'_> {
    /// The link, which must be there.
    pub(super) fn find(&self, call: &PluginCall<'_>) -> Result<Link, CniError> {
        let (netlink, place) = self.side(call)?;
        let link = match self.name() {
            Some(name) => {
                netlink.link_by_name(name)?.ok_or_else(|| format!("link {name:?} does not exist in {place}"))
            }
            None => netlink
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
        if let Some(name) = self.name().filter(|_| !self.is_in_container)
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

    fn name(&self) -> Option<&str> {
        self.name.filter(|name| !name.is_empty())
    }
}
