//! Addresses: who gets which, as the IPAM section of a plugin's config says.
//!
//! The code blocks (file locks), so it runs on a worker thread. Facts: CNI SPEC 1.1.0 section 4, CONVENTIONS.md, and
//! the behaviour of the reference plugins `host-local` and `static`.

pub mod dhcp;
pub mod host_local;
mod requested;
pub mod r#static;
pub mod whereabouts;

use std::path::PathBuf;

use plexus_cni::args::CniArgs;
use plexus_cni::json::{self, Object};
use plexus_cni::result::{Dns, IpConfig, Route};
use plexus_cni::{CniError, Code};

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
}

impl Ipam {
    /// The built-in plugin that `ipam.type` names, if there is one.
    pub fn native(ipam_type: &str) -> Option<Ipam> {
        match ipam_type {
            "host-local" => Some(Ipam::HostLocal),
            "static" => Some(Ipam::Static),
            _ => None,
        }
    }

    /// Reads the whole config and the requested addresses, and touches nothing.
    pub fn validate(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::validate(request),
            Ipam::Static => r#static::validate(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Reserves addresses; a second ADD of the same container and interface is an error, never a second address.
    #[expect(clippy::should_implement_trait, reason = "ADD is the verb's name in CNI")]
    pub fn add(self, request: &IpamRequest) -> Result<IpamResult, CniError> {
        match self {
            Ipam::HostLocal => host_local::add(request),
            Ipam::Static => r#static::add(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Releases what this container holds for this interface; nothing to release is success (C155).
    pub fn del(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::del(request),
            Ipam::Static => Ok(()),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Fails when a reservation is gone or belongs to someone else (C092, C156); changes nothing.
    pub fn check(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::check(request),
            Ipam::Static => r#static::check(request),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Fails when an ADD could not be served, because a range has no free address (C102); changes nothing.
    pub fn status(self, request: &IpamRequest) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::status(request),
            Ipam::Static => Ok(()),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    /// Releases every reservation of this network whose (container id, interface) is not in `valid` (C157).
    ///
    /// The caller keeps ADDs of this network away meanwhile, or lists the attachments under way as valid (C119).
    pub fn gc(self, request: &IpamRequest, valid: &[(String, String)]) -> Result<(), CniError> {
        match self {
            Ipam::HostLocal => host_local::gc(request, valid),
            Ipam::Static => Ok(()),
        }
        .map_err(|error| self.name_the_network(request, error))
    }

    fn name_the_network(self, request: &IpamRequest, error: CniError) -> CniError {
        let plugin = match self {
            Ipam::HostLocal => "host-local",
            Ipam::Static => "static",
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
}

/// The routes of an IPAM section, as configured.
fn routes(items: &[serde_json::Value]) -> Result<Vec<Route>, CniError> {
    let parse = |(at, item)| {
        Route::from_value(item, &format!("ipam.routes[{at}]"))
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })
    };
    items.iter().enumerate().map(parse).collect()
}
