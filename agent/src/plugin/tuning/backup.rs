//! What an interface and the sysctls were before, and how they become so again.

use plexus_cni::sysctl::{SysctlEnd, SysctlName, SysctlSetting};
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

use super::config::Config;
use crate::netlink::{Link, Netlink};
use crate::plugin::PluginCall;
use crate::plugin::call::{format_mac, parse_mac};

/// What was there before an ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Backup {
    /// The interface, as far as it was to be changed.
    pub(super) link: LinkBackup,
    /// Sysctls that have a value to go back to.
    pub(super) sysctls: Vec<(SysctlName, String)>,
    /// The hardware address for which the uplink of our network listens since then.
    pub(super) station: Option<Station>,
}

/// A hardware address on an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Station {
    pub(super) uplink: String,
    pub(super) mac: [u8; 6],
}

/// An interface's properties, in the format of the reference's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LinkBackup {
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promisc: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allmulti: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "txQLen", alias = "txQlen")]
    txqlen: Option<u32>,
}

impl LinkBackup {
    /// What `config` is about to change.
    pub(super) fn of(link: &Link, config: &Config) -> Self {
        Self {
            mac: config.mac.map(|_| format_mac(link.mac)).unwrap_or_default(),
            promisc: config.is_promiscuous.then_some(link.is_promiscuous),
            mtu: config.mtu.map(|_| link.mtu),
            allmulti: config.is_all_multicast.map(|_| link.is_all_multicast),
            txqlen: config.tx_queue_len.map(|_| link.tx_queue_len),
        }
    }

    /// Puts everything back that differs; all is tried, the first error is the answer.
    pub(super) fn restore(&self, netlink: &Netlink, link: &Link) -> Result<(), CniError> {
        let mut outcome = Ok(());
        let mut keep = |tried: Result<(), CniError>| {
            if outcome.is_ok() {
                outcome = tried;
            }
        };
        let index = link.index;
        if let Some(packets) = self.txqlen.filter(|packets| *packets != link.tx_queue_len) {
            keep(netlink.set_tx_queue_len(index, packets).map_err(Into::into));
        }
        if let Some(is_on) = self.allmulti.filter(|is_on| *is_on != link.is_all_multicast) {
            keep(netlink.set_all_multicast(index, is_on).map_err(Into::into));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| ![0, link.mtu].contains(mtu)) {
            keep(netlink.set_mtu(index, mtu).map_err(Into::into));
        }
        if let Some(is_on) = self.promisc.filter(|is_on| *is_on != link.is_promiscuous) {
            keep(netlink.set_promiscuous(index, is_on).map_err(Into::into));
        }
        if !self.mac.is_empty() {
            keep(
                parse_mac(&self.mac)
                    .and_then(|mac| if mac == link.mac { Ok(()) } else { Ok(netlink.set_mac(index, mac)?) }),
            );
        }
        outcome
    }
}

impl Backup {
    /// Puts everything back that can be; what has gone meanwhile needs nothing. All is tried, the first error is the answer.
    pub(super) fn restore(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let station = self.forget_station(call);
        let Some(sandbox) = call.sandbox else { return station };
        let link = match sandbox.netlink.link_by_name(call.ifname) {
            Ok(Some(link)) => self.link.restore(&sandbox.netlink, &link),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        station.and(link).and(self.restore_sysctls(call))
    }

    fn forget_station(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let Some(station) = &self.station else { return Ok(()) };
        match call.host.link_by_name(&station.uplink)? {
            Some(uplink) => Ok(call.host.delete_station(uplink.index, station.mac)?),
            None => Ok(()),
        }
    }

    fn restore_sysctls(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let setting = |(name, value): &(SysctlName, String)| SysctlSetting {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let ends = call.work_sysctls(self.sysctls.iter().map(setting).collect())?;
        let refused = self.sysctls.iter().zip(ends).find_map(|((name, _), end)| match end {
            SysctlEnd::Refused(why) => Some((name, why)),
            SysctlEnd::Done(_) | SysctlEnd::Missing => None,
        });
        refused.map_or(Ok(()), |(name, why)| Err(refusal(name, why)))
    }
}

/// The kernel's refusal of a sysctl.
pub(super) fn refusal(name: &SysctlName, why: String) -> CniError {
    CniError::new(Code::Kernel, format!("tuning: sysctl {} cannot be set in the pod", name.path()))
        .because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_reference_is_understood() {
        let text = r#"{ "mac": "c2:11:22:33:44:55", "promisc": false, "mtu": 1500, "allmulti": true, "txQLen": 1000 }"#;
        let read: LinkBackup = serde_json::from_str(text).unwrap();
        let expected = LinkBackup {
            mac: "c2:11:22:33:44:55".into(),
            promisc: Some(false),
            mtu: Some(1500),
            allmulti: Some(true),
            txqlen: Some(1000),
        };
        assert_eq!(read, expected);
        assert_eq!(serde_json::from_str::<LinkBackup>("{}").unwrap(), LinkBackup::default());
    }

    #[test]
    fn a_backup_survives_the_record() {
        let backup = Backup {
            link: LinkBackup { mtu: Some(9000), ..LinkBackup::default() },
            sysctls: vec![("net/core/somaxconn".to_owned().try_into().unwrap(), "128".into())],
            station: Some(Station { uplink: "eth1".into(), mac: [2, 0, 0, 0, 0, 1] }),
        };
        let text = serde_json::to_string(&backup).unwrap();
        assert_eq!(serde_json::from_str::<Backup>(&text).unwrap(), backup);
    }
}
