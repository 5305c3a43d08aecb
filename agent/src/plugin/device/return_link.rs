//! The pod's link becomes the host's again.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use plexus_cni::{CniError, Code};

use super::finish::finish;
use super::locate::Place;
use super::{LinkBefore, Loan, free};
use crate::netlink::{Link, MovePlan, Netlink};
use crate::plugin::PluginCall;
use crate::sandbox;

/// The namespace of the calling thread: the host's.
const OWN_NETNS: &str = "/proc/thread-self/ns/net";

impl PluginCall<'_> {
    /// Refuses, for now, a link that is in a namespace which neither the pod nor the host has.
    pub(in crate::plugin) fn require_within_reach(&self, loan: &Loan) -> Result<(), CniError> {
        loan.link.as_ref().map_or(Ok(()), |before| self.locate(loan, before).map(drop))
    }

    /// Gives a loan's link back; one that is gone, or was never touched, is a success.
    pub(in crate::plugin) fn return_link(&self, loan: &Loan) -> Result<(), CniError> {
        let Some(before) = &loan.link else { return Ok(()) };
        let link = match self.locate(loan, before)? {
            Place::Inside(link) => self.move_out(&link, before)?,
            Place::Host(link) if Some(link.index) == self.port_ifindex() => self.renumber(&link, before)?,
            Place::Host(link) => link,
            Place::Gone => {
                tracing::info!(device = loan.describe(), "the link of a borrowed device is gone");
                return Ok(());
            }
        };
        self.put_right(&link, before)
    }

    /// Gives a link of the pod back to the host, which is to have it as `before`.
    pub(in crate::plugin) fn give_back(&self, link: &Link, before: &LinkBefore) -> Result<(), CniError> {
        let link = self.move_out(link, before)?;
        self.put_right(&link, before)
    }

    /// Makes a link of the host what it was before.
    pub(in crate::plugin) fn put_right(&self, link: &Link, before: &LinkBefore) -> Result<(), CniError> {
        finish(self.host, link, before)
    }

    fn move_out(&self, link: &Link, before: &LinkBefore) -> Result<Link, CniError> {
        move_to_host(&self.sandbox()?.netlink, self.host, link, before)
    }

    /// The kernel gave it back under the pod's name and index when the pod's namespace ended. The index is a port's, which
    /// another interface will get, and only a move changes it: by way of a namespace of nobody.
    fn renumber(&self, link: &Link, before: &LinkBefore) -> Result<Link, CniError> {
        let opened = sandbox::scratch().and_then(|netns| Ok((sandbox::open_netlink(netns.as_fd())?, netns)));
        let (socket, scratch) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(link = link.name, index = link.index, %error, "a returned device keeps its index");
                return Ok(link.clone());
            }
        };
        let inside = Netlink::adopt(socket)?;
        self.host.set_down(link.index)?;
        let plan = MovePlan { netns: scratch.as_fd(), name: &link.name, index: Some(link.index) };
        self.host.move_to(link.index, &plan)?;
        move_to_host(&inside, self.host, link, before)
    }
}

/// Alternative names stay behind: another link of the host may have them by now.
fn move_to_host(from: &Netlink, host: &Netlink, link: &Link, before: &LinkBefore) -> Result<Link, CniError> {
    from.set_down(link.index)?;
    for name in &link.alt_names {
        from.delete_alt_name(link.index, name)?;
    }
    let netns = File::open(OWN_NETNS).map_err(|error| {
        CniError::new(Code::Kernel, format!("cannot open {OWN_NETNS}")).because(error.to_string())
    })?;
    let index = free::index(host, before.index)?;
    let moved =
        |netns: BorrowedFd<'_>, name| from.move_to(link.index, &MovePlan { netns, name, index: Some(index) });
    moved(netns.as_fd(), free::name(host, &before.name, None)?)?;
    host.link_by_index(index)?.ok_or_else(|| {
        CniError::new(Code::Kernel, format!("link {} did not arrive in the host", before.name))
            .because("it vanished while it was given back")
    })
}
