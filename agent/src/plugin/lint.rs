//! What the built-in plugins say of a config without a node.

use std::path::PathBuf;
use std::time::Instant;

use plexus_cni::args::CniArgs;
use plexus_cni::config::PluginConfig;
use plexus_cni::lint::Plugins;
use plexus_cni::{CniError, Code, json};

use super::call::parse_mac;
use super::lease::DHCP;
use super::native;
use super::options::check_options;
use crate::ipam::dhcp::Wishes;
use crate::ipam::{Ipam, IpamRequest};

/// The built-in plugins.
pub struct Builtin {
    /// Directories beneath which IPAM data may be.
    pub ipam_data_dirs: Vec<PathBuf>,
}

impl Plugins for Builtin {
    fn is_native(&self, plugin_type: &str) -> bool {
        native(plugin_type).is_some()
    }

    fn is_native_ipam(&self, ipam_type: &str) -> bool {
        Ipam::native(ipam_type).is_some() || ipam_type == DHCP
    }

    fn keys(&self, plugin_type: &str) -> &'static [&'static str] {
        native(plugin_type).map(super::Plugin::keys).unwrap_or_default()
    }

    fn validate(&self, network: &str, plugin: &PluginConfig) -> Result<(), CniError> {
        let Some(native) = native(plugin.plugin_type()) else { return Ok(()) };
        check_options(plugin)?;
        native.validate_config(plugin)?;
        let mac = json::string(&plugin.0, "mac", plugin.plugin_type())?.filter(|mac| !mac.is_empty());
        mac.map(parse_mac).transpose().map_err(|error| error.within("key \"mac\""))?;
        let args = CniArgs::default();
        let request = IpamRequest {
            network,
            container_id: "check",
            ifname: "net1",
            config: &plugin.0,
            args: &args,
            data_dirs: &self.ipam_data_dirs,
            boot_id: "",
            cluster: None,
            deadline: Instant::now(),
        };
        if plugin.ipam_type() == Some(DHCP) {
            return Wishes::of(&request).map(drop);
        }
        let Some(ipam) = plugin.ipam_type().and_then(Ipam::native) else { return Ok(()) };
        match ipam.validate(&request) {
            // Pods may bring their addresses with them.
            Err(error) if ipam == Ipam::Static && error.code == Code::InvalidConfig && asks_pods(plugin) => {
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Whether `static` has no address of its own.
fn asks_pods(plugin: &PluginConfig) -> bool {
    let addresses = plugin.ipam().and_then(|ipam| ipam.get("addresses")).and_then(|list| list.as_array());
    addresses.is_none_or(Vec::is_empty)
}
