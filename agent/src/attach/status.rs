//! STATUS: could an ADD be served now?

use plexus_cni::CniError;

use super::chain::Chain;
use super::plan;
use super::readiness;
use super::request::Request;

/// Asks every plugin that an ADD would run.
pub(super) fn status(request: &Request<'_>) -> Result<(), CniError> {
    readiness::require(request)?;
    for attachment in plan::for_status(request)? {
        let chain = Chain::new(request, "", &attachment, None)?;
        chain.status().map_err(|error| {
            let details = error.to_string();
            CniError::new(
                plexus_cni::Code::Unavailable,
                format!("network {} cannot take pods", attachment.network),
            )
            .because(details)
        })?;
    }
    Ok(())
}
