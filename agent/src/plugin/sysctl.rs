//! Sysctls of the pod, read and written by whoever may (see [`crate::delegate::Delegates::sysctl`]).

use plexus_cni::sysctl::{SysctlEnd, SysctlName, SysctlRequest, SysctlSetting};
use plexus_cni::{CniError, Code};

use super::PluginCall;
use crate::fault;

impl PluginCall<'_> {
    /// Reads, and writes where a value is given; one end for each setting.
    pub(super) fn work_sysctls(&self, settings: Vec<SysctlSetting>) -> Result<Vec<SysctlEnd>, CniError> {
        if settings.is_empty() {
            return Ok(Vec::new());
        }
        let count = settings.len();
        let outcome = self.delegates.sysctl(self.netns()?, &SysctlRequest { settings })?;
        fault::point();
        if outcome.ends.len() != count {
            return Err(CniError::new(
                Code::Internal,
                format!("of {count} sysctls {} were tried", outcome.ends.len()),
            )
            .because("shim and plexusd may be of different releases; install both from one"));
        }
        Ok(outcome.ends)
    }

    /// Sets sysctls that the interface can do without: what fails is only logged. `names` are paths below `/proc/sys`; a
    /// kernel without one of them is no failure.
    pub(super) fn try_sysctls(&self, names: &[String], value: &str) {
        let parsed = names.iter().map(|name| SysctlName::try_from(name.clone()));
        let settings =
            parsed.map(|name| name.map(|name| SysctlSetting { name, value: Some(value.to_owned()) }));
        let ends = settings.collect::<Result<Vec<_>, _>>().and_then(|settings| self.work_sysctls(settings));
        match ends {
            Ok(ends) => {
                for (name, end) in names.iter().zip(ends) {
                    if let SysctlEnd::Refused(why) = end {
                        tracing::warn!(name, why, "a sysctl of the pod stays as it is");
                    }
                }
            }
            Err(error) => tracing::warn!(?names, %error, "sysctls of the pod stay as they are"),
        }
    }
}
