//! How full a network's ranges are.

use std::path::PathBuf;

use plexus_cni::CniError;
use plexus_cni::args::CniArgs;
use plexus_cni::json::Object;

use super::config::Config;
use super::store::Store;
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

/// The range sets of a network; `config` is the config of the plugin that asks host-local. Reads the directory's names
/// only, without the lock.
pub fn pools(network: &str, config: &Object, data_dirs: &[PathBuf]) -> Result<Vec<PoolUse>, CniError> {
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
    let reserved = match Store::look(&request.place()?, network)? {
        Some(store) => store.reservations()?,
        None => Vec::new(),
    };
    let pools = sets.iter().map(|set| PoolUse {
        range: set.to_string(),
        size: u64::try_from(set.capacity()).unwrap_or(u64::MAX),
        used: reserved.iter().filter(|found| set.range_for(found.address).is_some()).count() as u64,
    });
    Ok(pools.collect())
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
    }
}
