//! `passthru`: does nothing, so that a chain of plugins without an interface has a head.
//!
//! As Multus' plugin of that name; it is the head of the auxiliary chain.

use plexus_cni::{CniError, CniResult};

use super::{Attached, Plugin, PluginCall};

/// The plugin.
pub(super) struct Passthru;

impl Plugin for Passthru {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, _call: &PluginCall<'_>) -> Result<(), CniError> {
        Ok(())
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        Ok(Attached { result: call.prev_result.cloned().unwrap_or_default(), port: None })
    }

    fn check(&self, _call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        Ok(())
    }

    fn del(&self, _call: &PluginCall<'_>) -> Result<(), CniError> {
        Ok(())
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}
