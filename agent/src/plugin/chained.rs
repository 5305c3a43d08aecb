//! What chained plugins read of the result before them, and the links in the pod that it lists.

use ipnet::IpNet;
use plexus_cni::{CniError, CniResult, Code};

use super::PluginCall;
use crate::netlink::Link;

impl<'a> PluginCall<'a> {
    /// The result of the chain so far, without which a chained plugin has nothing to work on.
    pub(super) fn require_prev_result(&self) -> Result<&'a CniResult, CniError> {
        self.prev_result.ok_or_else(|| {
            let plugin = self.config.plugin_type();
            CniError::new(Code::InvalidConfig, format!("{plugin}: prevResult is missing"))
                .because("it is a chained plugin; put it after the plugin that makes the interface")
        })
    }

    /// The container's addresses in `result` that are not known to be of another interface.
    pub(super) fn addresses_in(&self, result: &CniResult) -> Vec<IpNet> {
        let is_ours = |index: Option<usize>| match index.and_then(|index| result.interfaces.get(index)) {
            Some(interface) => interface.name == self.ifname && interface.sandbox.is_some(),
            None => true,
        };
        result.ips.iter().filter(|ip| is_ours(ip.interface)).map(|ip| ip.address).collect()
    }

    /// Who is behind a chain of packet filter rules, for people; nobody that a record knows, so a leftover, is `None`.
    pub(super) fn owner_of(&self, is_chain_of: impl Fn(&str, &str) -> bool) -> Option<String> {
        self.agent.records.all().iter().find_map(|record| {
            let mut attachments = record.attachments.iter();
            let attachment = attachments.find(|other| is_chain_of(&record.container_id, &other.ifname))?;
            let holder = match &record.pod {
                Some(pod) => format!("pod {}/{}", pod.namespace, pod.name),
                None => format!("container {}", record.container_id),
            };
            Some(format!("{holder}, interface {}", attachment.ifname))
        })
    }

    /// The links in the container that `result` lists, in its order; where it lists none, the interface of the call. Those
    /// that are not there are left out.
    pub(super) fn container_links(&self, result: &CniResult) -> Result<Vec<Link>, CniError> {
        let netlink = &self.sandbox()?.netlink;
        let inside = result.interfaces.iter().filter(|interface| interface.sandbox.is_some());
        let mut names: Vec<&str> = inside.map(|interface| &*interface.name).collect();
        if names.is_empty() {
            names.push(self.ifname);
        }
        let mut links = Vec::new();
        for name in names {
            links.extend(netlink.link_by_name(name)?);
        }
        Ok(links)
    }
}
