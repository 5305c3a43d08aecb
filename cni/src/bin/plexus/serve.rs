//! From the process's environment and stdin to what it prints.

use plexus_cni::env::{Command, Environment};
use plexus_cni::stdin::{StdinConfig, version_answer, version_of};
use plexus_cni::{CniError, Version};

use crate::call::ShimCall;
use crate::{stdin, verb};

/// A failure and the version in which it is told (C004).
pub(crate) struct Failure {
    /// What failed.
    pub(crate) error: CniError,
    /// The config's version; the newest where there is none.
    pub(crate) version: Version,
}

/// Serves this process's one call; the text is for stdout.
pub(crate) fn serve() -> Result<Option<String>, Failure> {
    let environment = Environment::read(variable).map_err(|error| Failure {
        error,
        version: version_of(&stdin::glance()).unwrap_or(Version::NEWEST),
    })?;
    if environment.command == Command::Version {
        return Ok(Some(version_answer(&stdin::glance())));
    }
    let bytes = stdin::read().map_err(|error| Failure { error, version: Version::NEWEST })?;
    let failure = |error| Failure { error, version: version_of(&bytes).unwrap_or(Version::NEWEST) };
    let config = StdinConfig::parse(&bytes, environment.command).map_err(failure)?;
    let call = ShimCall::new(environment, config, variable).map_err(failure)?;
    verb::perform(&call).map_err(failure)
}

/// An environment variable; bytes that are no UTF-8 are replaced, and then refused where it matters.
fn variable(key: &str) -> Option<String> {
    std::env::var_os(key).map(|value| value.to_string_lossy().into_owned())
}
