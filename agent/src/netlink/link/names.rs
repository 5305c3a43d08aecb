//! Names of a link beside its first: the alias and alternative names.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, Prop};
use nix::errno::Errno;

use crate::netlink::{Netlink, NetlinkError};

/// The alternative names among a link's properties.
pub(super) fn alternative(properties: Vec<Prop>) -> Vec<String> {
    let name = |property| match property {
        Prop::AltIfName(name) => Some(name),
        _ => None,
    };
    properties.into_iter().filter_map(name).collect()
}

impl Netlink {
    /// Sets the alias; an empty one removes it.
    pub fn set_alias(&self, index: u32, alias: &str) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.change(index, message, || format!("set the alias of link {index}"))
    }

    /// Gives the link one more name; one that it has already is a success.
    pub fn add_alt_name(&self, index: u32, name: &str) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewLinkProp(alt_name(index, name));
        let what = || format!("give link {index} the alternative name {name}");
        match self.acknowledged(what, message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => {
                let owner = self.link_by_index(index)?;
                let has = owner
                    .is_some_and(|link| link.name == name || link.alt_names.iter().any(|own| own == name));
                if has { Ok(()) } else { Err(error) }
            }
            outcome => outcome,
        }
    }

    /// Takes an alternative name away; one that is gone is a success.
    pub fn delete_alt_name(&self, index: u32, name: &str) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelLinkProp(alt_name(index, name));
        match self.acknowledged(|| format!("take the alternative name {name} from link {index}"), message, 0)
        {
            Err(error) if error.errno == Errno::ENOENT => Ok(()),
            outcome => outcome,
        }
    }
}

fn alt_name(index: u32, name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(name.to_owned())]));
    message
}
