//! `dummy`: an interface in the container that leads nowhere, to hold addresses.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/dummy).

use plexus_cni::config::PluginConfig;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use super::address::check_kind;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{Link, LinkPlan};

/// What the kernel calls its kind.
const KIND: &str = "dummy";

/// The plugin.
pub(super) struct Dummy;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    dns: Dns,
}

impl Plugin for Dummy {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate_config(call.config)?;
        call.ipam_validate()
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        config.typed::<Config>()?;
        if config.ipam_type().is_some() {
            return Ok(());
        }
        Err(CniError::new(Code::InvalidConfig, "dummy: key \"ipam\" is missing")
            .because("a dummy is there for its addresses"))
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config: Config = call.config.typed()?;
        call.add_inside(config.dns, || create(call))
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        call.ipam_check()?;
        check_kind(&call.check_addresses(result)?, KIND)?;
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = call.delete_inside(KIND);
        let ipam = call.ipam_del();
        port.and(link).and(ipam)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

fn create(call: &PluginCall<'_>) -> Result<Link, CniError> {
    let plan = LinkPlan { netns: Some(call.netns()?), ..call.link_plan(0) };
    call.host.add_dummy(&plan)?;
    call.require_link()
}
