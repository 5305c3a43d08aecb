//! Rules that choose a routing table by the source address.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::address::family;
use super::{Netlink, NetlinkError};

/// A rule as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The one source address that it is for; `None` where it is for others, or for more than one.
    pub source: Option<IpAddr>,
    /// The table that it leads to; 0 where it leads to none.
    pub table: u32,
}

impl Netlink {
    /// The rules of both families.
    pub fn rules(&self) -> Result<Vec<Rule>, NetlinkError> {
        let mut rules = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let message = RouteNetlinkMessage::GetRule(message);
            match self.request(|| "list the routing rules".into(), message, NLM_F_DUMP) {
                Ok(answers) => rules.extend(answers.iter().filter_map(|answer| rule_of(answer, family))),
                // A kernel without this family.
                Err(error) if matches!(error.errno, Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rules)
    }

    /// Lets packets from `source` be routed by `table`; a rule that is there already is a success. The kernel gives it the
    /// priority before that of the first rule but `local`.
    pub fn add_source_rule(&self, source: IpAddr, table: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRule(message(source, table));
        let what = || format!("add the rule from {source} to table {table}");
        match self.acknowledged(what, message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes such a rule; one that is gone already is a success.
    pub fn delete_source_rule(&self, source: IpAddr, table: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRule(message(source, table));
        match self.acknowledged(|| format!("delete the rule from {source} to table {table}"), message, 0) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::EAFNOSUPPORT) => Ok(()),
            outcome => outcome,
        }
    }
}

fn message(source: IpAddr, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(source);
    message.header.src_len = if source.is_ipv4() { 32 } else { 128 };
    message.header.action = RuleAction::ToTable;
    message.header.table = u8::try_from(table).unwrap_or_default();
    message.attributes.push(RuleAttribute::Source(source));
    message.attributes.push(RuleAttribute::Table(table));
    message
}

fn rule_of(answer: &RouteNetlinkMessage, family: AddressFamily) -> Option<Rule> {
    let RouteNetlinkMessage::NewRule(message) = answer else { return None };
    if message.header.family != family {
        return None;
    }
    let mut rule = Rule { source: None, table: message.header.table.into() };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(source) => {
                let length = if source.is_ipv4() { 32 } else { 128 };
                rule.source = Some(*source).filter(|_| message.header.src_len == length);
            }
            RuleAttribute::Table(table) => rule.table = *table,
            _ => {}
        }
    }
    Some(rule)
}
