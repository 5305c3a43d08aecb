//! Natively built CNI plugins, one file per type.
//!
//! A plugin's `add` that fails leaves nothing behind; `del` is idempotent and works from the record alone, with the
//! network namespace or the device already gone.

mod address;
mod bandwidth;
mod bridge;
mod call;
mod chained;
mod device;
mod dummy;
mod fastpath;
mod firewall;
mod forwarding;
mod host_device;
mod interface;
mod ipvlan;
mod lease;
mod lint;
mod loopback;
mod macvlan;
mod masquerade;
mod memory;
mod options;
mod parent;
mod passthru;
mod port;
mod portmap;
mod ptp;
mod route_override;
mod sandbox;
mod sbr;
mod siblings;
mod sriov;
mod sysctl;
mod tap;
mod tuning;
mod undo;
mod veth;
mod vlan;
mod vrf;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult};

use crate::record::PortRecord;

pub use call::{Attached, PluginCall};
pub use lint::Builtin;
pub use memory::Memory;
pub use route_override::{BoundRoutes, RouteDevice, restore_routes};
pub use sandbox::Sandbox;

/// The CNI verbs of one plugin type.
pub trait Plugin: Sync {
    /// Whether it creates an interface (a main plugin) or changes one (a chained plugin).
    fn creates_interface(&self) -> bool {
        true
    }

    /// Whether it acts on the port of the chain's interface, so that another's interface is no place for it.
    fn needs_port(&self) -> bool {
        true
    }

    /// Whether it can do all that this config asks for; else the binary of its type is executed.
    fn serves(&self, _config: &PluginConfig) -> bool {
        true
    }

    /// Refuses a config that cannot work, without touching anything.
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError>;

    /// The keys that it reads, beside those of every plugin.
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The part of `validate` that needs no kernel, no container and no agent.
    fn validate_config(&self, _config: &PluginConfig) -> Result<(), CniError> {
        Ok(())
    }

    /// Attaches.
    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError>;

    /// The keys of this config that count for running interfaces too: where one of them changes,
    /// [`change`](Self::change) is called. Other keys are left for new pods.
    fn live_keys(&self, _config: &PluginConfig) -> &'static [&'static str] {
        &[]
    }

    /// The port as this config wants it, `port` being as it is; nothing is touched.
    fn wanted_port(&self, _call: &PluginCall<'_>, port: PortRecord) -> Result<PortRecord, CniError> {
        Ok(port)
    }

    /// Brings a running interface to this config, with `call.port` as [`wanted_port`](Self::wanted_port) made it; returns the
    /// port if it became another one meanwhile. Idempotent; after a failure it is called with the config from before.
    fn change(&self, _call: &PluginCall<'_>) -> Result<Option<PortRecord>, CniError> {
        Ok(None)
    }

    /// Compares the kernel with the final result of the chain.
    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError>;

    /// Detaches.
    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError>;

    /// Whether `del` also removes all that the reference plugin of this type made with this config.
    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        false
    }

    /// Refuses when an ADD with this config could not be served now.
    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)
    }

    /// Releases what this network holds for attachments that are not in `valid` (container id, interface name).
    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError>;
}

/// The native plugin of this type, if there is one; every other type is executed by the shim.
pub fn native(plugin_type: &str) -> Option<&'static dyn Plugin> {
    match plugin_type {
        "macvlan" => Some(&macvlan::Macvlan),
        "bridge" => Some(&bridge::Bridge),
        "ipvlan" => Some(&ipvlan::Ipvlan),
        "vlan" => Some(&vlan::Vlan),
        "dummy" => Some(&dummy::Dummy),
        "tap" => Some(&tap::Tap),
        "ptp" => Some(&ptp::Ptp),
        "loopback" => Some(&loopback::Loopback),
        "fastpath" => Some(&fastpath::Fastpath),
        "host-device" => Some(&host_device::HostDevice),
        "sriov" => Some(&sriov::Sriov),
        "bandwidth" => Some(&bandwidth::Bandwidth),
        "portmap" => Some(&portmap::Portmap),
        "firewall" => Some(&firewall::Firewall),
        "tuning" => Some(&tuning::Tuning),
        "sbr" => Some(&sbr::Sbr),
        "vrf" => Some(&vrf::Vrf),
        "route-override" => Some(&route_override::RouteOverride),
        "passthru" => Some(&passthru::Passthru),
        _ => None,
    }
}

/// Refuses a config of a native plugin that cannot work on any node.
pub fn check_config(config: &PluginConfig) -> Result<(), CniError> {
    let Some(native) = chosen(config) else { return Ok(()) };
    options::check_options(config)?;
    native.validate_config(config)
}

/// The native plugin that serves this config, unless it wants the binary or asks for what only the binary can do.
pub fn chosen(config: &PluginConfig) -> Option<&'static dyn Plugin> {
    native(config.plugin_type()).filter(|native| native.serves(config) && !config.wants_exec())
}
