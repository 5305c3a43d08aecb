//! One call of the container runtime, checked again on the agent's side of the socket.

use std::time::Instant;

use plexus_cni::args::CniArgs;
use plexus_cni::config::NetworkConfigList;
use plexus_cni::env::Command;
use plexus_cni::json::parse_object;
use plexus_cni::meta::META_TYPES;
use plexus_cni::name::{check_container_id, check_ifname};
use plexus_cni::wire::{CniCall, WIRE_VERSION};
use plexus_cni::{CniError, Code, Version};

use crate::agent::Agent;
use crate::delegate::Delegates;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;

/// One call and all that serves it.
pub struct Request<'a> {
    /// Settings, state and data plane.
    pub agent: &'a Agent,
    /// The worker's netlink socket in the host's namespace.
    pub host: &'a Netlink,
    /// The call as the shim passed it.
    pub call: &'a CniCall,
    /// The config from stdin.
    pub config: NetworkConfigList,
    /// `CNI_ARGS`
    pub args: CniArgs,
    /// The container's network namespace, if one was passed.
    pub sandbox: Option<Sandbox>,
    /// Executes foreign plugins.
    pub delegates: &'a dyn Delegates,
    /// When it came to a worker.
    pub began: Instant,
    /// When the call must have ended.
    pub deadline: Instant,
}

impl<'a> Request<'a> {
    /// Checks the call; nothing is touched.
    pub fn new(
        agent: &'a Agent,
        host: &'a Netlink,
        call: &'a CniCall,
        sandbox: Option<Sandbox>,
        delegates: &'a dyn Delegates,
        deadline: Instant,
    ) -> Result<Self, CniError> {
        if call.wire_version != WIRE_VERSION {
            return Err(CniError::new(
                Code::Internal,
                format!("the shim speaks version {}", call.wire_version),
            )
            .because(format!("this plexusd speaks {WIRE_VERSION}; install the shim of the same release")));
        }
        let config =
            NetworkConfigList::from_object(parse_object(call.config.as_bytes(), "stdin")?, None, None)?;
        if matches!(call.command, Command::Add | Command::Del | Command::Check) {
            check_container_id(&call.container_id)?;
            check_ifname(&call.ifname, "CNI_IFNAME")?;
        }
        let needs = match call.command {
            Command::Check => Version::V0_4_0,
            Command::Gc | Command::Status => Version::V1_1_0,
            _ => Version::V0_3_0,
        };
        if config.version < needs {
            return Err(CniError::new(
                Code::IncompatibleVersion,
                format!("config version {} does not know {}", config.version.as_str(), call.command.as_str()),
            )
            .because(format!("it came with {}", needs.as_str())));
        }
        let args = CniArgs::parse(&call.args)?;
        Ok(Self { agent, host, call, config, args, sandbox, delegates, began: Instant::now(), deadline })
    }

    /// The plugin type that was called.
    pub fn plugin_type(&self) -> &str {
        self.config.plugins.first().map(plexus_cni::config::PluginConfig::plugin_type).unwrap_or_default()
    }

    /// Whether the meta-plugin was called, by its own name or by one of Multus'.
    pub fn is_meta(&self) -> bool {
        META_TYPES.contains(&self.plugin_type())
    }

    /// Directories for foreign plugins: the operator's, else the runtime's.
    pub fn path(&self) -> Vec<String> {
        let own = &self.agent.settings.bin_dirs;
        if own.is_empty() {
            return self.call.path.clone();
        }
        let own = own.iter().map(|dir| dir.to_string_lossy().into_owned());
        own.chain(self.call.path.iter().cloned()).collect()
    }

    /// The namespace that CHECK and ADD cannot do without.
    pub fn sandbox(&self) -> Result<&Sandbox, CniError> {
        self.sandbox.as_ref().ok_or_else(Sandbox::missing)
    }
}
