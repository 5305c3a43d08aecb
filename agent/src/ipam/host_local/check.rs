//! CHECK: the reservations are there and ours.

use std::net::IpAddr;

use plexus_cni::{CniError, CniResult, Code};

use super::config::Config;
use super::owner::{self, Match};
use super::store::Store;
use crate::ipam::IpamRequest;

/// Every address of `prevResult` that lies in our ranges is held by this container and interface.
pub(in crate::ipam) fn check(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let previous = request.config.get("prevResult").filter(|value| !value.is_null()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "key \"prevResult\" is missing")
            .because("CHECK compares with the result of ADD")
    })?;
    let previous = CniResult::from_value(previous, "prevResult")?;
    let ours = |address: &IpAddr| config.sets.iter().any(|set| set.range_for(*address).is_some());
    let addresses: Vec<IpAddr> =
        previous.ips.iter().map(|ip| ip.address.addr().to_canonical()).filter(ours).collect();
    let fail = |what: String, why: String| {
        let what = format!("container {} interface {:?}: {what}", request.container_id, request.ifname);
        Err(CniError::new(Code::CheckFailed, what).because(why))
    };
    if addresses.is_empty() {
        return fail(
            "prevResult holds no address of the configured ranges".into(),
            "attach the pod anew".into(),
        );
    }
    let store = Store::look(&request.place()?, request.network)?;
    for address in addresses {
        let content = match &store {
            Some(store) => store.content(&address.to_string())?,
            None => String::new(),
        };
        if content.trim().is_empty() {
            return fail(
                format!("the reservation of {address} is gone"),
                "another pod may get the address; recreate this pod".into(),
            );
        }
        if request.owner().holds(&content) == Match::No {
            return fail(
                format!("address {address} is not ours"),
                format!("held by {}", owner::describe(&content)),
            );
        }
    }
    Ok(())
}
