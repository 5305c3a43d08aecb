//! IPAM `host-local`: one free address of each range set, reserved by a file.

mod add;
mod check;
mod config;
pub(crate) mod data_dir;
mod del;
mod exhausted;
mod gc;
mod lock;
mod owner;
mod pool;
mod range;
mod reboot;
mod resolv_conf;
mod stamp;
mod status;
mod store;

use std::time::Duration;

use plexus_cni::CniError;

pub(super) use self::add::add;
pub(super) use self::check::check;
use self::config::Config;
use self::data_dir::DataDir;
pub(super) use self::del::del;
pub(super) use self::gc::gc;
use self::owner::Owner;
pub use self::pool::{Held, PoolUse, holders, pools};
pub use self::reboot::release_earlier_boots;
use self::stamp::Stamp;
pub(super) use self::status::status;
use self::store::{Reservation, Store};
use super::IpamRequest;

/// How long another holder of the lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);

impl<'a> IpamRequest<'a> {
    fn owner(&self) -> Owner<'a> {
        Owner { container_id: self.container_id, ifname: self.ifname }
    }

    fn stamp(&self) -> Stamp {
        let pod = [self.args.get("K8S_POD_NAMESPACE"), self.args.get("K8S_POD_NAME")];
        let pod = if let [Some(namespace), Some(name)] = pod {
            format!("{namespace}/{name}")
        } else {
            String::new()
        };
        Stamp { boot_id: self.boot_id.to_owned(), pod }
    }

    fn place(&self) -> Result<DataDir, CniError> {
        DataDir::new(&config::data_dir(self)?, self.data_dirs)
    }
}

/// Checks ranges, requested addresses, routes and the directory's name.
pub(super) fn validate(request: &IpamRequest) -> Result<(), CniError> {
    Config::of(request)?;
    request.place().map(drop)
}

/// Visits every reservation with its content, and removes empty files: under the lock nobody is writing, so an empty
/// file was left by a process that died between creating and writing it.
fn sweep(
    store: &Store,
    mut visit: impl FnMut(Reservation, &str) -> Result<(), CniError>,
) -> Result<(), CniError> {
    for reservation in store.reservations()? {
        let content = store.content(&reservation.name)?;
        if content.is_empty() {
            store.release(&reservation.name)?;
        } else {
            visit(reservation, &content)?;
        }
    }
    Ok(())
}

fn release_all(store: &Store, reservations: &[Reservation]) -> Result<(), CniError> {
    let failed: Vec<CniError> =
        reservations.iter().filter_map(|reservation| store.release(&reservation.name).err()).collect();
    match failed.split_first() {
        None => Ok(()),
        Some((first, rest)) => {
            let all = rest.iter().fold(first.details.clone(), |all, error| format!("{all}; {error}"));
            Err(first.clone().because(all))
        }
    }
}

#[cfg(test)]
mod tests;
