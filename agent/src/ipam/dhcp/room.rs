//! What the agent holds of leases.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};
use plexus_cni::{CniError, CniResult, Code};

use super::clock::now_ms;
use super::counts::Counts;
use super::held::Key;
use super::store::Store;
use super::table::Table;

/// All leases of this node's pods.
#[derive(Debug)]
pub struct Dhcp {
    pub(super) store: Store,
    pub(super) boot_id: String,
    table: Mutex<Table>,
    /// Rings when the table has changed; the renewer listens.
    pub(super) bell: EventFd,
    /// ADDs that wait for a server, and how many may.
    asking: AtomicUsize,
    asking_max: usize,
    /// What happened.
    pub counts: Counts,
}

/// A place among the ADDs that wait for a server.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dhcp {
    /// The leases below `state_dir`. Of `workers` threads a quarter stays free for calls that need no server.
    pub fn open(state_dir: &Path, boot_id: &str, workers: usize) -> Result<Self, CniError> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags).map_err(|errno| {
            CniError::new(Code::State, "dhcp: cannot make an event descriptor").because(errno.to_string())
        })?;
        Ok(Self {
            store: Store::new(state_dir),
            boot_id: boot_id.to_owned(),
            table: Mutex::default(),
            bell,
            asking: AtomicUsize::new(0),
            asking_max: (workers - workers / 4).max(1),
            counts: Counts::default(),
        })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the renewer.
    pub(super) fn ring(&self) {
        // It fails only if it rings already.
        self.bell.write(1).map(drop).unwrap_or_default();
    }

    /// A place to wait at; with none the runtime should try again.
    pub(super) fn place(&self) -> Result<Place<'_>, CniError> {
        let place = Place(&self.asking);
        if self.asking.fetch_add(1, Ordering::Relaxed) >= self.asking_max {
            return Err(CniError::new(Code::TryAgain, "too many pods wait for a DHCP server")
                .because(format!("at most {} do at a time; the runtime tries again", self.asking_max)));
        }
        Ok(place)
    }

    /// Leases that are held, and those of them whose server has not answered since T2.
    pub fn held(&self) -> (usize, usize) {
        let now = now_ms();
        let table = self.table();
        let held = table.iter().filter_map(|(_, entry)| entry.machine.lease());
        held.fold((0, 0), |(all, late), lease| (all + 1, late + usize::from(lease.rebinds_ms() <= now)))
    }

    /// The lease is held, and is what the result of ADD says.
    pub(crate) fn check(&self, key: &Key, result: Option<&CniResult>) -> Result<(), CniError> {
        let fail = |what: String, why: &str| Err(CniError::new(Code::CheckFailed, what).because(why));
        let table = self.table();
        let Some(entry) = table.get(key) else {
            return fail(format!("dhcp: interface {} has no lease", key.ifname), "restart the pod");
        };
        let Some(lease) = entry.machine.lease() else {
            return fail(
                format!("dhcp: the lease of interface {} has ended", key.ifname),
                "the server refused it or did not answer; another one is being asked for",
            );
        };
        let address = lease.terms.ip().address;
        if result.is_some_and(|result| result.ips.iter().all(|ip| ip.address != address)) {
            return fail(
                format!("dhcp: interface {} has a lease of {address}", key.ifname),
                "the result of ADD names another address: the server has changed it since",
            );
        }
        Ok(())
    }
}
