//! The network interfaces of a cloud instance, as its metadata service says (EC2, IMDSv2).
//!
//! Asked only where a network's config names its parent by ENI or device index; the answer is kept, since an ENI never
//! changes its hardware address. Source: AWS, "Use instance metadata to manage your EC2 instance".

mod answer;
mod client;
mod error;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use answer::{Interface, is_eni};
pub use error::InstanceError;

use http::Uri;

/// How long an answer is used: an interface that is attached at another device index keeps its ENI.
const FRESH: Duration = Duration::from_mins(1);
/// Between two questions about an interface that the last answer did not have.
const PAUSE: Duration = Duration::from_secs(2);

/// The service, and its last answer.
#[derive(Debug)]
pub struct InstanceMetadata {
    base: Uri,
    last: Mutex<Option<(Instant, Vec<Interface>)>>,
}

impl InstanceMetadata {
    /// The service at `base`, such as `http://169.254.169.254`; nothing is asked yet.
    pub fn at(base: Uri) -> Self {
        Self { base, last: Mutex::default() }
    }

    /// The interface that `is_meant` chooses, from the last answer, or else from a new one; `None` if the instance has none
    /// such. Blocks for 3 s at most.
    pub fn interface(
        &self,
        is_meant: impl Fn(&Interface) -> bool,
    ) -> Result<Option<Interface>, InstanceError> {
        // Held while the service is asked, so that calls which come together ask once.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = &*last {
            let found = known.iter().find(|interface| is_meant(interface));
            let limit = if found.is_some() { FRESH } else { PAUSE };
            if at.elapsed() < limit {
                return Ok(found.cloned());
            }
        }
        let known = client::interfaces(&self.base)?;
        let found = known.iter().find(|interface| is_meant(interface)).cloned();
        *last = Some((Instant::now(), known));
        Ok(found)
    }
}
