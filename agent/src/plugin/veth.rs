//! The host's end of a container's veth pair.

use plexus_cni::CniError;

use super::PluginCall;
use crate::netlink::LinkPlan;

impl PluginCall<'_> {
    /// Name of the host's end: it follows from the attachment, so DEL finds it without a record.
    pub(super) fn host_end_name(&self) -> String {
        host_end_name(self.container_id, self.ifname)
    }

    /// Makes the pair: the host's end under the port's index, the container's end in its namespace. `mtu` is in bytes;
    /// without one the kernel's default stays.
    pub(super) fn add_veth(&self, mtu: Option<u32>, mac: Option<[u8; 6]>) -> Result<(), CniError> {
        let name = self.host_end_name();
        let host = LinkPlan { name: &name, index: self.port_ifindex(), mtu, ..LinkPlan::default() };
        let netns = Some(self.netns()?);
        let container = LinkPlan { name: self.ifname, mac, mtu, netns, ..LinkPlan::default() };
        Ok(self.host.add_veth(&host, &container)?)
    }

    /// Deletes the pair at the host's end, which is there even where the container's namespace is gone.
    pub(super) fn delete_host_end(&self) -> Result<(), CniError> {
        match self.host.link_by_name(&self.host_end_name())? {
            Some(link) if link.kind == "veth" => Ok(self.host.delete_link(link.index)?),
            _ => Ok(()),
        }
    }
}

/// `veth` and a hash of container and interface.
pub(super) fn host_end_name(container_id: &str, ifname: &str) -> String {
    // FNV-1a, 64 bits, of which 44 fit beside "veth" into 15 bytes.
    let hash = container_id
        .bytes()
        .chain([0])
        .chain(ifname.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("veth{:011x}", hash >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_end_is_named_by_the_attachment() {
        let name = host_end_name("abc", "net1");
        assert_eq!(name, host_end_name("abc", "net1"));
        assert!(
            name.len() == 15
                && name.starts_with("veth")
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        );
        assert_ne!(name, host_end_name("abc", "net2"));
        assert_ne!(host_end_name("ab", "cnet1"), host_end_name("abc", "net1"));
    }
}
