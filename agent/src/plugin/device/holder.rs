//! Who holds a device: two pods never have one.

use std::sync::Arc;

use plexus_cni::{CniError, Code};

use super::Loan;
use crate::plugin::PluginCall;
use crate::record::{Attachment, Record};
use crate::sysfs::DeviceId;

/// Plugins that borrow devices.
const BORROWERS: [&str; 2] = [":host-device", ":sriov"];

/// What is known of the device of an attachment that ends.
pub(in crate::plugin) enum Borrowed {
    /// What it was.
    Loan(Box<Loan>),
    /// Nothing: the ADD did not come so far, or was not ours.
    Unknown,
    /// It was borrowed before this boot.
    Void,
}

impl PluginCall<'_> {
    /// Writes a loan down, unless another attachment has one of the same device. `read` finds the device as it is now.
    pub(in crate::plugin) fn borrow_device(
        &self,
        read: impl Fn() -> Result<Loan, CniError>,
    ) -> Result<Loan, CniError> {
        // Between looking and writing nobody else may look.
        let _reserving = self.agent.locks.reservation();
        let loan = read()?;
        if let Some(holder) = self.holder(|other| other.is_of_same_device(&loan)) {
            return Err(in_use(
                &format!("{}: device {}", self.config.plugin_type(), loan.describe()),
                &holder,
            ));
        }
        // A holder may have put something back between the first reading and the end of its record.
        let loan = read()?;
        self.remember(&loan)?;
        Ok(loan)
    }

    /// The attachment's loan, to be given back. One of an earlier boot is void: links and settings are as this boot made
    /// them, and names and indexes may be those of other devices.
    pub(in crate::plugin) fn loan(&self) -> Result<Borrowed, CniError> {
        let record = self.agent.records.get(self.container_id);
        if record.is_some_and(|record| record.boot_id != self.agent.boot_id) {
            return Ok(Borrowed::Void);
        }
        Ok(self.remembered()?.map_or(Borrowed::Unknown, |loan| Borrowed::Loan(Box::new(loan))))
    }

    /// Refuses a device that another attachment has.
    pub(in crate::plugin) fn require_unlent(&self, device: &DeviceId) -> Result<(), CniError> {
        let plugin = self.config.plugin_type();
        self.holder(|loan| loan.device.as_ref() == Some(device))
            .map_or(Ok(()), |holder| Err(in_use(&format!("{plugin}: device {device}"), &holder)))
    }

    /// Which other attachment has a loan that `is_meant`, in words.
    pub(in crate::plugin) fn holder(&self, is_meant: impl Fn(&Loan) -> bool) -> Option<String> {
        let has = |attachment: &Attachment| {
            let notes = attachment.notes.saved.iter();
            let mut loans = notes
                .filter(|(slot, _)| BORROWERS.iter().any(|borrower| slot.ends_with(borrower)))
                .filter_map(|(_, note)| serde_json::from_value::<Loan>(note.clone()).ok());
            loans.any(|loan| is_meant(&loan))
        };
        self.agent.records.all().into_iter().find_map(|record: Arc<Record>| {
            let holds = |attachment: &&Attachment| !self.is_own(&record, attachment) && has(attachment);
            let attachment = record.attachments.iter().find(holds)?;
            let pod = record.pod.as_ref().map_or_else(
                || format!("container {}", record.container_id),
                |pod| format!("pod {}/{}", pod.namespace, pod.name),
            );
            Some(format!("{pod}, interface {}", attachment.ifname))
        })
    }

    fn is_own(&self, record: &Record, attachment: &Attachment) -> bool {
        record.container_id == self.container_id
            && attachment.ifname == self.ifname
            && attachment.network == self.network
    }
}

/// What an ADD hears of a device that another pod has.
pub(in crate::plugin) fn in_use(what: &str, holder: &str) -> CniError {
    CniError::new(Code::DeviceUnavailable, format!("{what} is in use"))
        .because(format!("{holder} has it, until that pod's DEL has ended"))
}
