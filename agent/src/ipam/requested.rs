//! Addresses that somebody asked for: the runtime, the pod's annotation, or `CNI_ARGS`.

use plexus_cni::json;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

use super::IpamRequest;

/// Most addresses that one attachment may ask for.
const REQUESTED_MAX: usize = 64;

/// The texts at each place where addresses may be asked for.
#[derive(Debug, Default)]
pub(super) struct Requested {
    /// `runtimeConfig.ips`.
    pub(super) runtime: Vec<String>,
    /// `args.cni.ips`.
    pub(super) args: Vec<String>,
    /// `IP` of `CNI_ARGS`, split at its commas; empty where one of the others is present (C066).
    pub(super) env: Vec<String>,
}

#[derive(Deserialize)]
struct Ips {
    #[serde(default)]
    ips: Vec<String>,
}

impl Requested {
    /// Collects them; the error names the key.
    pub(super) fn of(request: &IpamRequest) -> Result<Self, CniError> {
        let runtime = match json::object(request.config, "runtimeConfig", "network config")? {
            Some(runtime) => json::typed::<Ips>(runtime, "runtimeConfig")?.ips,
            None => Vec::new(),
        };
        let args = match json::object(request.config, "args", "network config")? {
            Some(args) => match json::object(args, "cni", "args")? {
                Some(cni) => json::typed::<Ips>(cni, "args.cni")?.ips,
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        let env = match request.args.get("IP") {
            Some(text) if runtime.is_empty() && args.is_empty() => split(text),
            _ => Vec::new(),
        };
        let requested = Self { runtime, args, env };
        let count = requested.runtime.len() + requested.args.len() + requested.env.len();
        if count > REQUESTED_MAX {
            return Err(CniError::new(Code::InvalidConfig, format!("{count} addresses are requested"))
                .because(format!("at most {REQUESTED_MAX} can be")));
        }
        Ok(requested)
    }
}

/// The items of a list with commas, as Multus writes several addresses into `CNI_ARGS`.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
