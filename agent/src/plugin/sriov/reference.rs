//! What the reference plugin keeps of the functions that it gave to pods: one file for each attachment, one for each
//! function.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use plexus_cni::{CniError, Code};
use serde::Deserialize;

use crate::netlink::{Link, VfLinkState, VfRates, VfState, VfVlan, VlanProtocol};
use crate::plugin::PluginCall;
use crate::plugin::call::parse_mac;
use crate::plugin::device::{LinkBefore, Loan, MacBefore, VfBefore};
use crate::sysfs::{DeviceId, PciAddress, Sysfs};

/// Its directory (sriov-cni, pkg/config).
const DIR: &str = "/var/lib/cni/sriov";
/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// ETH_P_8021AD
const DOT1AD: u32 = 0x88a8;

/// A cached config, as far as it says what to put back.
#[derive(Deserialize)]
struct Cached {
    #[serde(rename = "OrigVfState")]
    before: CachedState,
    #[serde(rename = "deviceID")]
    device: PciAddress,
    #[serde(rename = "VFID")]
    number: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct CachedState {
    #[serde(rename = "HostIFName")]
    name: String,
    spoof_chk: bool,
    trust: bool,
    #[serde(rename = "AdminMAC")]
    admin_mac: String,
    #[serde(rename = "EffectiveMAC")]
    effective_mac: String,
    vlan: u16,
    #[serde(rename = "VlanQoS")]
    vlan_qos: u8,
    vlan_proto: u32,
    min_tx_rate: u32,
    max_tx_rate: u32,
    link_state: u32,
}

impl CachedState {
    fn state(&self) -> VfState {
        let protocol = if self.vlan_proto == DOT1AD { VlanProtocol::Dot1ad } else { VlanProtocol::Dot1q };
        VfState {
            mac: parse_mac(&self.admin_mac).unwrap_or_default(),
            vlan: VfVlan { id: self.vlan, qos: self.vlan_qos, protocol },
            rates: VfRates { min_mbps: self.min_tx_rate, max_mbps: self.max_tx_rate },
            spoof_check: self.spoof_chk,
            trust: self.trust,
            link_state: match self.link_state {
                1 => VfLinkState::Enable,
                2 => VfLinkState::Disable,
                _ => VfLinkState::Auto,
            },
        }
    }
}

/// Refuses a function that a pod of the reference plugin has: the file holds the path of its namespace, which is there.
pub(super) fn require_free(device: PciAddress) -> Result<(), CniError> {
    let Ok(netns) = fs::read_to_string(allocation(device)) else { return Ok(()) };
    if !Path::new(netns.trim()).exists() {
        return Ok(());
    }
    Err(CniError::new(Code::DeviceUnavailable, format!("sriov: device {device} is in use"))
        .because(format!("the sriov binary gave it to the pod with network namespace {}", netns.trim())))
}

/// Gives back what the reference plugin gave to this container; without a file there is nothing.
pub(super) fn release(call: &PluginCall<'_>) -> Result<(), CniError> {
    let path = Path::new(DIR).join(format!("{}-{}", call.container_id, call.ifname));
    let Some(cached) = read(&path)? else { return Ok(()) };
    let sysfs = Sysfs::default();
    let device = DeviceId::Pci(cached.device);
    let pf = sysfs.virtual_function(cached.device)?.map(|function| function.pf);
    let vf = pf.map(|pf| VfBefore {
        pf,
        number: cached.number,
        state: cached.before.state(),
        mac: MacBefore::Assigned,
    });
    let driver = sysfs.driver(&device)?;
    let inside = match call.sandbox {
        Some(sandbox) => sandbox.netlink.link_by_name(call.ifname)?,
        None => None,
    };
    let before = |link: &Link| LinkBefore {
        index: 0,
        name: cached.before.name.clone(),
        alt_names: Vec::new(),
        alias: None,
        mac: parse_mac(&cached.before.effective_mac).unwrap_or(LinkBefore::of(link).mac),
        is_up: false,
        ..LinkBefore::of(link)
    };
    let loan = Loan { device: Some(device), driver, port: String::new(), link: None, vf };
    super::settings::release(call.host, &loan);
    let link = match &inside {
        Some(link) if !call.is_recorded(link.index) => call.give_back(link, &before(link)),
        _ => tidy(call, &loan, before),
    };
    link.and(super::settings::restore(call.host, &loan))?;
    for path in [path, allocation(cached.device)] {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a file of the sriov binary stays");
        }
    }
    Ok(())
}

/// The pod's namespace has ended, and the kernel gave the link back under the pod's name.
fn tidy(call: &PluginCall<'_>, loan: &Loan, before: impl Fn(&Link) -> LinkBefore) -> Result<(), CniError> {
    let names = loan.device.as_ref().map(|device| Sysfs::default().netdevs(device)).transpose()?;
    let Some(name) = names.into_iter().flatten().next() else { return Ok(()) };
    let Some(link) = call.host.link_by_name(&name)? else { return Ok(()) };
    call.put_right(&link, &LinkBefore { is_up: link.is_up, ..before(&link) })
}

fn allocation(device: PciAddress) -> PathBuf {
    Path::new(DIR).join("pci").join(device.to_string())
}

fn read(path: &Path) -> Result<Option<Cached>, CniError> {
    let failed = |why: String| {
        CniError::new(Code::State, format!("sriov: {} cannot be used", path.display()))
            .because(format!("{why}; it says how the virtual function was, remove it to leave that as it is"))
    };
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| failed(error.to_string()))?,
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(failed("it is not a small regular file".into()));
    }
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_config_of_the_binary_says_what_the_function_was() {
        let text = r#"{"cniVersion":"1.0.0","name":"s","type":"sriov","ipam":{},"dns":{},
            "OrigVfState":{"HostIFName":"ens1f0v3","SpoofChk":true,"Trust":false,"AdminMAC":"00:00:00:00:00:00",
              "EffectiveMAC":"02:00:00:00:00:09","Vlan":7,"VlanQoS":2,"VlanProto":34984,"MinTxRate":0,"MaxTxRate":50,
              "LinkState":2},
            "Master":"ens1f0","MAC":"","vlan":0,"deviceID":"0000:3b:02.3","VFID":3,"ContIFNames":"net1"}"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c-net1");
        fs::write(&path, text).unwrap();
        let cached = read(&path).unwrap().unwrap();
        assert_eq!((cached.number, cached.device.to_string()), (3, "0000:3b:02.3".into()));
        let state = VfState {
            mac: [0; 6],
            vlan: VfVlan { id: 7, qos: 2, protocol: VlanProtocol::Dot1ad },
            rates: VfRates { min_mbps: 0, max_mbps: 50 },
            spoof_check: true,
            trust: false,
            link_state: VfLinkState::Disable,
        };
        assert_eq!(cached.before.state(), state);
        assert_eq!(cached.before.name, "ens1f0v3");
    }

    #[test]
    fn no_file_is_nothing_and_rubbish_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).unwrap().is_none());
        let path = dir.path().join("rubbish");
        fs::write(&path, "{").unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("rubbish"));
    }
}
