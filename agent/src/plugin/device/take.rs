//! The host's link becomes the pod's.

use plexus_cni::{CniError, Code};

use super::LinkBefore;
use crate::datapath::device::has_native_xdp;
use crate::netlink::{Link, MovePlan};
use crate::plugin::PluginCall;

impl PluginCall<'_> {
    /// Moves a link of the host into the pod, under its final name and index at once. The alias is its name in the host
    /// from then on, as the reference plugins have it: it can be given back even if the loan were lost.
    pub(in crate::plugin) fn take_link(&self, before: &LinkBefore) -> Result<Link, CniError> {
        let sandbox = self.sandbox()?;
        if has_native_xdp(before.index) == Some(false) {
            self.lacks(
                "no native XDP: the device's driver has none, so counters, limits and guards run as tc programs, and a \
                 program of the pod only as generic XDP",
            );
        }
        if before.is_up {
            self.host.set_down(before.index)?;
        }
        // The kernel refuses a move that would give the pod a name twice.
        for name in &before.alt_names {
            if name == self.ifname || sandbox.netlink.link_by_name(name)?.is_some() {
                self.host.delete_alt_name(before.index, name)?;
            }
        }
        self.host.set_alias(before.index, &before.name)?;
        let plan = MovePlan { netns: self.netns()?, name: self.ifname, index: self.port_ifindex() };
        self.host.move_to(before.index, &plan)?;
        self.require_link().map_err(|error| {
            CniError::new(Code::Kernel, format!("link {} did not arrive in the container", before.name))
                .because(error.to_string())
        })
    }
}
