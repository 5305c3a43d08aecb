//! How full a network's ranges are.

use std::net::IpAddr;
use std::path::PathBuf;

use plexus_cni::CniError;
use plexus_cni::args::CniArgs;
use plexus_cni::json::Object;

use super::config::Config;
use super::owner::Owner;
use super::store::{Reservation, Store};
use crate::ipam::IpamRequest;

/// One range set and its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Its ranges, `10.1.0.1-10.1.0.254`.
    pub range: String,
    /// Addresses that can be handed out.
    pub size: u64,
    /// Addresses that are reserved.
    pub used: u64,
}

/// A reserved address and its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The address.
    pub address: IpAddr,
    /// The container; empty where a crash left an empty file.
    pub container_id: String,
    /// The interface; reservations of old releases name none.
    pub ifname: Option<String>,
}

/// The range sets of a network; `config` is the config of the plugin that asks host-local. Reads the directory's names
/// only, without the lock.
pub fn pools(network: &str, config: &Object, data_dirs: &[PathBuf]) -> Result<Vec<PoolUse>, CniError> {
    let found = look(network, config, data_dirs, |_, _| Ok(()))?;
    Ok(found.into_iter().map(|(pool, _)| pool).collect())
}

/// As [`pools`], each with its holders; reads every reservation.
pub fn holders(
    network: &str,
    config: &Object,
    data_dirs: &[PathBuf],
) -> Result<Vec<(PoolUse, Vec<Held>)>, CniError> {
    look(network, config, data_dirs, |store, reservation| {
        let content = store.content(&reservation.name)?;
        let (container_id, ifname) = Owner::parts(&content);
        let ifname = ifname.map(str::to_owned);
        Ok(Held { address: reservation.address, container_id: container_id.to_owned(), ifname })
    })
}

/// The range sets, each with what `read` makes of its reservations.
fn look<T>(
    network: &str,
    config: &Object,
    data_dirs: &[PathBuf],
    read: impl Fn(&Store, &Reservation) -> Result<T, CniError>,
) -> Result<Vec<(PoolUse, Vec<T>)>, CniError> {
    let args = CniArgs::parse("")?;
    let request = IpamRequest {
        network,
        container_id: "",
        ifname: "",
        config,
        args: &args,
        data_dirs,
        boot_id: "",
        cluster: None,
        deadline: std::time::Instant::now(),
    };
    let sets = Config::of(&request)?.sets;
    let store = Store::look(&request.place()?, network)?;
    let reserved = store.as_ref().map_or_else(|| Ok(Vec::new()), Store::reservations)?;
    let mut pools = Vec::with_capacity(sets.len());
    for set in &sets {
        let mut held = Vec::new();
        if let Some(store) = &store {
            for reservation in reserved.iter().filter(|found| set.range_for(found.address).is_some()) {
                held.push(read(store, reservation)?);
            }
        }
        let size = u64::try_from(set.capacity()).unwrap_or(u64::MAX);
        pools.push((PoolUse { range: set.to_string(), size, used: held.len() as u64 }, held));
    }
    Ok(pools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_counted_by_range_and_others_are_not() {
        let root = tempfile::tempdir().unwrap();
        let dirs = [root.path().to_owned()];
        let config = serde_json::json!({"ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "10.2.0.0/24"}]],
        }});
        let config = config.as_object().unwrap();
        let used = |pools: &[PoolUse]| pools.iter().map(|pool| (pool.size, pool.used)).collect::<Vec<_>>();
        assert_eq!(used(&pools("n", config, &dirs).unwrap()), [(5, 0), (253, 0)]);
        std::fs::create_dir(root.path().join("n")).unwrap();
        for name in ["10.1.0.2", "10.1.0.3", "10.9.0.1", "lock", "last_reserved_ip.0"] {
            std::fs::write(root.path().join("n").join(name), "c\r\neth0").unwrap();
        }
        let pools = pools("n", config, &dirs).unwrap();
        assert_eq!(used(&pools), [(5, 2), (253, 0)]);
        assert_eq!(pools[0].range, "10.1.0.1-10.1.0.6");
        let held = &holders("n", config, &dirs).unwrap()[0].1;
        assert_eq!((held.len(), &*held[0].container_id, held[0].ifname.as_deref()), (2, "c", Some("eth0")));
    }
}
