//! One call, put together from the environment and stdin.

use plexus_cni::CniError;
use plexus_cni::args::CniArgs;
use plexus_cni::env::{Command, Environment};
use plexus_cni::stdin::StdinConfig;
use plexus_cni::wire::{CniCall, WIRE_VERSION};

/// A call and where it goes.
pub(crate) struct ShimCall {
    /// What the agent is asked.
    pub(crate) call: CniCall,
    /// The config, read as far as the shim needs it.
    pub(crate) config: StdinConfig,
    /// The agent's socket.
    pub(crate) socket: String,
    /// The state directory with the spool.
    pub(crate) state_dir: String,
}

impl ShimCall {
    /// Puts the call together; `variable` reads `PLEXUS_SOCKET` and `PLEXUS_STATE_DIR`.
    pub(crate) fn new(
        environment: Environment,
        config: StdinConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CniError> {
        if matches!(environment.command, Command::Add | Command::Check) {
            CniArgs::parse(&environment.args)?;
        }
        let place = |configured: &Option<String>, key: &str, otherwise: &str| {
            configured
                .clone()
                .or_else(|| variable(key).filter(|path| !path.is_empty()))
                .unwrap_or_else(|| otherwise.to_owned())
        };
        Ok(Self {
            socket: place(&config.socket, "PLEXUS_SOCKET", "/run/plexus/plexus.sock"),
            state_dir: place(&config.state_dir, "PLEXUS_STATE_DIR", "/var/lib/plexus"),
            call: CniCall {
                wire_version: WIRE_VERSION,
                serves_sysctls: true,
                command: environment.command,
                container_id: environment.container_id,
                netns: environment.netns,
                ifname: environment.ifname,
                args: environment.args,
                path: environment.path,
                config: config.text.clone(),
            },
            config,
        })
    }

    /// The error with what the call is about in front: the verb, the network, the interface and the pod or container,
    /// unless the agent has named the pod.
    pub(crate) fn within_subject(&self, error: CniError) -> CniError {
        let interface = match self.call.ifname.as_str() {
            "" => String::new(),
            ifname => format!(" as {ifname}"),
        };
        let container = match CniArgs::parse(&self.call.args).as_ref().map(CniArgs::pod) {
            Ok(Some((namespace, name))) => format!("pod {namespace}/{name}"),
            _ if self.call.container_id.is_empty() => String::new(),
            _ => format!("container {}", self.call.container_id),
        };
        let container = match container {
            named if named.is_empty() || error.msg.contains(&named) => String::new(),
            named => format!(" for {named}"),
        };
        let verb = self.call.command.as_str();
        error.within(format!("{verb} of network {:?}{interface}{container}", self.config.name))
    }
}
