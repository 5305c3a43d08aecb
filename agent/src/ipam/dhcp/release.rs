//! DEL, GC and start: give leases back.

use std::os::fd::AsFd as _;

use plexus_cni::CniError;

use super::acquire::send;
use super::clock::{Dice, now_ms};
use super::counts::count;
use super::held::{Held, Key};
use super::machine::Lease;
use super::message::Ask;
use super::room::Dhcp;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;
use crate::sandbox::PacketSocket;

impl Dhcp {
    /// Gives a lease back, if the attachment has one: tells the server once, as nobody answers, and forgets it.
    ///
    /// `sandbox` is the container's namespace, where the interface should still be there; without it the host's own link
    /// is the way. A server that cannot be reached keeps the address until the lease ends.
    pub(crate) fn release(&self, key: &Key, sandbox: Option<&Sandbox>) -> Result<bool, CniError> {
        let entry = self.table().remove(key);
        self.ring();
        let held = match entry {
            Some(entry) => Some(Held { lease: entry.machine.lease().cloned(), ..entry.held }),
            None => self.store.get(key).unwrap_or_else(|error| {
                tracing::error!(ifname = key.ifname, %error, "a lease is forgotten without telling its server");
                None
            }),
        };
        let Some(held) = held else {
            self.store.remove(key)?;
            return Ok(false);
        };
        let socket = held.lease.as_ref().and_then(|_| self.way_to_server(&held, sandbox));
        self.give_back(&held, socket.as_ref())?;
        Ok(true)
    }

    /// Tells the server, if there is a way and something to tell, and removes the file.
    pub(super) fn give_back(&self, held: &Held, socket: Option<&PacketSocket>) -> Result<(), CniError> {
        let is_current = |lease: &&Lease| held.boot_id != self.boot_id || now_ms() < lease.ends_ms();
        if let Some(lease) = held.lease.as_ref().filter(is_current) {
            let address = lease.terms.address.addr();
            let server = lease.terms.server;
            let ask = Ask::Release { address, server };
            let transaction = (Dice::new().xid(), 0);
            let told = socket
                .map(|socket| send(socket, &held.client(), ask, transaction, Some((held.station, server))));
            let (container, ifname) = (&held.key.container_id, &held.key.ifname);
            match told {
                Some(Ok(())) => {
                    count(&self.counts.released);
                    tracing::info!(container, ifname, %address, "a lease was given back");
                }
                Some(Err(error)) => {
                    tracing::warn!(container, ifname, %address, %error, "the server keeps a lease until it ends");
                }
                None => tracing::warn!(
                    container, ifname, %address,
                    "the server keeps a lease until it ends: the interface is gone, and the host has no link to the server"
                ),
            }
        }
        self.store.remove(&held.key)
    }

    /// A socket on the interface, or else on the host's link that leads to the same network.
    fn way_to_server(&self, held: &Held, sandbox: Option<&Sandbox>) -> Option<PacketSocket> {
        if held.boot_id == self.boot_id {
            let opened = if sandbox.is_none() { Sandbox::reopen(&held.netns) } else { None };
            let inside = opened.as_ref().or(sandbox).filter(|sandbox| sandbox.id.is_same(&held.netns));
            if let Some(socket) = inside.and_then(|sandbox| on_interface(held, sandbox)) {
                return Some(socket);
            }
        }
        let index = Netlink::host_index(held.uplink.as_deref()?).ok().flatten()?;
        PacketSocket::open(index, held.packets()).ok()
    }

    /// Gives back what attachments of this network hold that are not in `valid` (container id, interface).
    pub(crate) fn gc(&self, network: &str, valid: &[(String, String)]) -> Result<(), CniError> {
        let is_stale = |key: &Key| {
            key.network == network
                && !valid.iter().any(|(id, ifname)| (id, ifname) == (&key.container_id, &key.ifname))
        };
        let mut outcome = Ok(());
        for held in self.store.all()?.into_iter().filter(|held| is_stale(&held.key)) {
            outcome = outcome.and(self.release(&held.key, None).map(drop));
        }
        outcome
    }
}

/// A socket on the interface that the lease is of, if it is there.
pub(super) fn on_interface(held: &Held, sandbox: &Sandbox) -> Option<PacketSocket> {
    let link = sandbox.netlink.link_by_index(held.link).ok().flatten()?;
    (link.mac == held.mac)
        .then(|| PacketSocket::open_in(sandbox.netns.as_fd(), link.index, held.packets()).ok())
        .flatten()
}
