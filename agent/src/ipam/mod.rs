//! Addresses: who gets which, as the IPAM section of a plugin's config says.
//!
//! The code blocks (file locks), so it runs on a worker thread. Facts: CNI SPEC 1.1.0 section 4, CONVENTIONS.md, and
//! the behaviour of the reference plugins `host-local` and `static`.

pub mod dhcp;
pub mod host_local;
pub mod in_use;
mod requested;
pub mod r#static;
pub mod whereabouts;

use std::path::PathBuf;
use std::time::Instant;

use plexus_cni::args::CniArgs;
use plexus_cni::json::{self, Object};
use plexus_cni::result::{Dns, IpConfig, Route};
use plexus_cni::{CniError, Code};

pub use self::whereabouts::LiveSandbox;

/// One question to an IPAM plugin.
#[derive(Clone, Copy, Debug)]
pub struct IpamRequest<'a> {
    /// Name of the network; `host-local` keeps a directory of this name.
    pub network: &'a str,
    /// The container, as `CNI_CONTAINERID` names it.
    pub container_id: &'a str,
    /// The interface inside the container.
    pub ifname: &'a str,
    /// The upper plugin's whole request: `ipam`, `runtimeConfig`, `args`, `prevResult`.
    pub config: &'a Object,
    /// `CNI_ARGS`.
    pub args: &'a CniArgs,
    /// Directories beneath which a config may put its `dataDir`; the first one serves configs that name none.
    pub data_dirs: &'a [PathBuf],
    /// This boot of the node; `host-local` notes it with what it reserves.
    pub boot_id: &'a str,
    /// The cluster's pools, where there is an API server.
    pub cluster: Option<&'a whereabouts::Cluster>,
    /// When the call must have ended.
    pub deadline: Instant,
}

/// What an IPAM plugin hands out: no interfaces, and no `ips[].interface` (C153).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IpamResult {
    /// Addresses, one for each range set or configured address, in the config's order.
    pub ips: Vec<IpConfig>,
    /// Routes, as configured.
    pub routes: Vec<Route>,
    /// Name servers; empty where the config names none.
    pub dns: Dns,
}

/// An IPAM plugin that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipam {
    /// Addresses from ranges, one file each, in a directory shared with the reference plugin.
    HostLocal,
    /// Addresses that the config or the runtime names.
    Static,
    /// Addresses from ranges of the whole cluster.
    Whereabouts,
}

impl Ipam {
    /// The built-in plugin that `ipam.type` names, if there is one.
    pub fn native(ipam_type: &str) -> Option<Ipam> {
        match ipam_type {
            "host-local" => Some(Ipam::HostLocal),
            "static" => Some(Ipam::Static),
            "whereabouts" => Some(Ipam::Whereabouts),
            _ => None,
        }
    }

    /// The built-in plugin that serves this section, unless it wants the binary or needs an API server that is not there.
    pub fn chosen(section: &Object, has_cluster: bool) -> Option<Ipam> {
        let native = Ipam::native(section.get("type")?.as_str()?)?;
        let wants_exec = section.get("plexus").and_then(|own| own.get("exec")) == Some(&true.into());
        let is_served = match native {
            Ipam::Whereabouts => has_cluster && !wants_exec,
            Ipam::HostLocal | Ipam::Static => true,
        };
        is_served.then_some(native)
    }

    /// Reads the whole config and the requested addresses, and touches nothing.
    pub fn validate(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::validate(request),
            Ipam::Static => r#static::validate(request),
            Ipam::Whereabouts => whereabouts::validate(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Reserves addresses; a second ADD of the same container and interface is an error, never a second address.
    #[expect(clippy::should_implement_trait, reason = "ADD is the verb's name in CNI")]
    pub fn add(self, request: &IpamRequest) -> Result<IpamResult, CniError> {
        match self {
            Ipam::HostLocal => host_local::add(request),
            Ipam::Static => r#static::add(request),
            Ipam::Whereabouts => whereabouts::add(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Releases what this container holds for this interface; nothing to release is success (C155).
    pub fn del(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::del(request),
            Ipam::Static => Ok(()),
            Ipam::Whereabouts => whereabouts::del(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Fails when a reservation is gone or belongs to someone else (C092, C156); changes nothing.
    pub fn check(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::check(request),
            Ipam::Static => r#static::check(request),
            Ipam::Whereabouts => whereabouts::check(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Fails when an ADD could not be served, because a range has no free address (C102); changes nothing.
    pub fn status(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::status(request),
            Ipam::Static => Ok(()),
            Ipam::Whereabouts => whereabouts::status(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Releases every reservation of this network whose (container id, interface) is not in `valid` (C157).
    ///
    /// The caller keeps ADDs of this network away meanwhile, or lists the attachments under way as valid (C119).
    /// `live` are all containers that are attached on this node, to whatever network.
    pub fn gc(
        self,
        request: &IpamRequest,
        valid: &[(String, String)],
        live: &[LiveSandbox],
    ) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::gc(request, valid),
            Ipam::Static => Ok(()),
            Ipam::Whereabouts => whereabouts::gc(request, valid, live),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    fn name_the_network(self, request: &IpamRequest, error: CniError) -> CniError {
        let plugin = match self {
            Ipam::HostLocal => "host-local",
            Ipam::Static => "static",
            Ipam::Whereabouts => "whereabouts",
        };
        error.within(format!("network {:?}: {plugin}", request.network))
    }
}

impl<'a> IpamRequest<'a> {
    /// The `ipam` section.
    fn section(&self) -> Result<&'a Object, CniError> {
        json::object(self.config, "ipam", "network config")?
            .ok_or_else(|| CniError::new(Code::InvalidConfig, "key \"ipam\" is missing"))
    }

    /// The cluster, which `whereabouts` cannot do without.
    fn cluster(&self) -> Result<&'a whereabouts::Cluster, CniError> {
        self.cluster.ok_or_else(|| {
            CniError::new(Code::Internal, "there is no API server to allocate addresses from")
                .because("whereabouts needs plexusd to follow a cluster: see --kubeconfig")
        })
    }
}

/// The routes of an IPAM section, as configured.
fn routes(items: &[serde_json::Value]) -> Result<Vec<Route>, CniError> {
    let parse = |(at, item)| {
        Route::from_value(item, &format!("ipam.routes[{at}]"))
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })
    };
    items.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod testing {
    use std::time::{Duration, Instant};

    use plexus_cni::args::CniArgs;
    use plexus_cni::json::Object;

    use super::IpamRequest;

    /// Network `n`, container `c`, interface `net1`; without directories and without a cluster.
    pub(super) fn request<'a>(config: &'a Object, args: &'a CniArgs) -> IpamRequest<'a> {
        IpamRequest {
            network: "n",
            container_id: "c",
            ifname: "net1",
            config,
            args,
            data_dirs: &[],
            boot_id: "",
            cluster: None,
            deadline: Instant::now() + Duration::from_mins(1),
        }
    }
}
