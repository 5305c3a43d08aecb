//! What a plugin is called with, and what it answers.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use plexus_abi::PORT_IFINDEX_BASE;
use plexus_cni::args::CniArgs;
use plexus_cni::config::PluginConfig;
use plexus_cni::json::{self, Object};
use plexus_cni::{CniError, CniResult, Code};

use super::{Memory, Sandbox};
use crate::agent::Agent;
use crate::delegate::Delegates;
use crate::netlink::{Link, Netlink};
use crate::record::PortRecord;

/// One plugin's part in one attachment.
#[derive(Clone, Copy)]
pub struct PluginCall<'a> {
    /// Settings, data plane and state.
    pub agent: &'a Agent,
    /// A netlink socket in the host's namespace.
    pub host: &'a Netlink,
    /// The container's namespace; absent when it is gone, or is not the one of the ADD.
    pub sandbox: Option<&'a Sandbox>,
    /// The container.
    pub container_id: &'a str,
    /// The interface inside the container.
    pub ifname: &'a str,
    /// The CNI network's name.
    pub network: &'a str,
    /// The request config: the author's config with name, cniVersion, runtimeConfig and args in it.
    pub config: &'a PluginConfig,
    /// `CNI_ARGS`
    pub args: &'a CniArgs,
    /// `CNI_ARGS` as text, for plugins that are executed.
    pub args_text: &'a str,
    /// Directories for plugins that are executed.
    pub path: &'a [String],
    /// The port id reserved for the interface, unless the state is lost.
    pub port_id: Option<u32>,
    /// The port, once an earlier plugin of the chain made it.
    pub port: Option<&'a PortRecord>,
    /// The result of the chain so far.
    pub prev_result: Option<&'a CniResult>,
    /// Executes foreign plugins.
    pub delegates: &'a dyn Delegates,
    /// The plugin's place in its chain, from 0.
    pub position: usize,
    /// What the chain's plugins wrote down of what they found.
    pub memory: &'a Memory<'a>,
    /// When the call must have ended.
    pub deadline: Instant,
    /// Set when something could not be undone: the record then stays, for the DEL that follows.
    pub is_unclean: &'a Cell<bool>,
}

/// What an ADD gives.
pub struct Attached {
    /// The chain's result, this plugin's part in it.
    pub result: CniResult,
    /// The port, if the plugin made or changed one.
    pub port: Option<PortRecord>,
}

impl<'a> PluginCall<'a> {
    /// The namespace, which ADD and CHECK cannot do without.
    pub fn sandbox(&self) -> Result<&'a Sandbox, CniError> {
        self.sandbox.ok_or_else(Sandbox::missing)
    }

    /// The namespace's descriptor.
    pub fn netns(&self) -> Result<BorrowedFd<'a>, CniError> {
        Ok(self.sandbox()?.netns.as_fd())
    }

    /// The `runtimeConfig` that was granted to this plugin.
    pub fn runtime_config(&self) -> Result<Option<&'a Object>, CniError> {
        json::object(&self.config.0, "runtimeConfig", self.config.plugin_type())
    }

    /// `args.cni`, the arguments from the network selection element.
    pub fn cni_args(&self) -> Option<&'a Object> {
        self.config.0.get("args")?.get("cni")?.as_object()
    }

    /// The hardware address asked for: runtimeConfig before `args.cni` before CNI_ARGS before the config,
    /// as in the reference's bridge.
    pub fn requested_mac(&self) -> Result<Option<[u8; 6]>, CniError> {
        let own = json::string(&self.config.0, "mac", self.config.plugin_type())?;
        let text = self.pods_mac()?.or(own);
        text.filter(|text| !text.is_empty()).map(parse_mac).transpose()
    }

    /// The hardware address that the pod asks for, as text, whatever the network's config says.
    fn pods_mac(&self) -> Result<Option<&'a str>, CniError> {
        let what = self.config.plugin_type();
        let runtime =
            self.runtime_config()?.map(|runtime| json::string(runtime, "mac", what)).transpose()?.flatten();
        let cni_args = self.cni_args().map(|args| json::string(args, "mac", what)).transpose()?.flatten();
        Ok(runtime.or(cni_args).or_else(|| self.args.get("MAC")).filter(|text| !text.is_empty()))
    }

    /// Refuses a pod's wish for a hardware address, which this kind of device cannot grant, and says `why`.
    pub(super) fn refuse_mac(&self, why: &str) -> Result<(), CniError> {
        self.pods_mac()?.map_or(Ok(()), |mac| {
            let plugin = self.config.plugin_type();
            Err(CniError::new(
                Code::UnsupportedField,
                format!("{plugin}: hardware address {mac} cannot be set"),
            )
            .because(why.to_owned()))
        })
    }

    /// `error`, and what went wrong while undoing after it.
    pub(super) fn undone(&self, error: CniError, outcome: Result<(), CniError>) -> CniError {
        match outcome {
            Ok(()) => error,
            Err(second) => {
                self.is_unclean.set(true);
                let details = format!("{}; undoing it failed too: {second}", error.details);
                error.because(details)
            }
        }
    }

    /// Refuses an interface name that is taken in the container (C041).
    pub fn require_free_ifname(&self) -> Result<(), CniError> {
        match self.sandbox()?.netlink.link_by_name(self.ifname)? {
            None => Ok(()),
            Some(link) => Err(CniError::new(
                Code::InterfaceExists,
                format!("interface {} exists in the container", self.ifname),
            )
            .because(format!(
                "it is a {} with hardware address {}; choose another name in the annotation, or remove it",
                if link.kind.is_empty() { "device" } else { &link.kind },
                format_mac(link.mac)
            ))),
        }
    }

    /// Whether the link with this index belongs to an attachment that a record knows, so not to a lost one.
    pub fn is_recorded(&self, index: u32) -> bool {
        let port = index.checked_sub(PORT_IFINDEX_BASE);
        let records = self.agent.records.all();
        let mut attachments = records.iter().flat_map(|record| &record.attachments);
        port.is_some() && attachments.any(|attachment| attachment.port_id == port)
    }

    /// The container's interface, which must be there.
    pub fn require_link(&self) -> Result<Link, CniError> {
        self.sandbox()?.netlink.link_by_name(self.ifname)?.ok_or_else(|| {
            CniError::new(Code::CheckFailed, format!("interface {} is not in the container", self.ifname))
                .because("it was deleted or renamed; restart the pod")
        })
    }
}

/// Parses `02:00:00:00:00:01`; a group address is refused, as the kernel would.
pub(super) fn parse_mac(text: &str) -> Result<[u8; 6], CniError> {
    let wrong = |why: &str| {
        CniError::new(Code::InvalidConfig, format!("mac {text:?} cannot be used")).because(why.to_owned())
    };
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|byte| if byte.len() == 2 { u8::from_str_radix(byte, 16).ok() } else { None })
        .collect();
    let mac: [u8; 6] = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| wrong("it is not six hexadecimal bytes such as 02:00:00:00:00:01"))?;
    if mac[0] & 1 == 1 || mac == [0; 6] {
        return Err(wrong("it is a group address or zero, which no interface can have"));
    }
    Ok(mac)
}

/// `02:00:00:00:00:01`
pub(super) fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_bytes_of_one_station() {
        assert_eq!(parse_mac("02:00:00:00:00:0a").unwrap(), [2, 0, 0, 0, 0, 10]);
        for wrong in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "zz:00:00:00:00:01",
            "01:00:00:00:00:01",
            "0:0:0:0:0:1",
        ] {
            assert!(parse_mac(wrong).is_err(), "{wrong}");
        }
    }
}
