//! What a running attachment should be by now: the plan of differences. No I/O.

use plexus_cni::CniError;
use plexus_cni::pod::Pod;

use super::{limits, network};
use crate::record::Attachment;

/// The attachment as `config`, the text of its network, and its pod want it, if that differs from what it is; what they do
/// not say, or what cannot be changed live, is as it was at ADD.
pub(super) fn wanted(
    attachment: &Attachment,
    config: Option<&str>,
    pod: Option<&Pod>,
) -> Result<Option<Attachment>, CniError> {
    let mut wanted = attachment.clone();
    if let Some(config) = config {
        network::merge(&mut wanted, config)?;
    }
    if let Some(pod) = pod {
        limits::merge(&mut wanted, pod)?;
    }
    Ok((wanted != *attachment).then_some(wanted))
}

#[cfg(test)]
mod tests;
