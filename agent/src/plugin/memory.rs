//! What a plugin writes down of what it found, before it changes it.
//!
//! The record alone must be enough to put things back: a VF's settings, a device's name, the value of a sysctl do not
//! follow from the config. Each plugin of a chain has one note; it is durable before `remember` returns, as far as the
//! process is concerned (see [`crate::record`]).

use std::cell::RefCell;

use plexus_cni::{CniError, Code};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PluginCall;
use crate::agent::Agent;
use crate::record::{Attachment, Notes};

/// The notes of one attachment's plugins while a call works on it.
pub struct Memory<'a> {
    agent: &'a Agent,
    container_id: &'a str,
    attachment: &'a Attachment,
    notes: RefCell<Notes>,
}

impl<'a> Memory<'a> {
    /// What the attachment's record says.
    pub fn of(agent: &'a Agent, container_id: &'a str, attachment: &'a Attachment) -> Self {
        Self { agent, container_id, attachment, notes: RefCell::new(attachment.notes.clone()) }
    }

    /// The notes as they are now.
    pub fn notes(&self) -> Notes {
        self.notes.borrow().clone()
    }

    /// Brings the notes into the container's record. Without one, nobody would read them.
    fn save(&self) -> Result<(), CniError> {
        let Some(known) = self.agent.records.get(self.container_id) else { return Ok(()) };
        let mut record = (*known).clone();
        if let Some(attachment) = record.attachments.iter_mut().find(|other| other.is_same(self.attachment)) {
            attachment.notes = self.notes();
            self.agent.records.put(record)?;
        }
        Ok(())
    }
}

impl PluginCall<'_> {
    /// Writes down what is needed to undo the next step, in place of what this plugin wrote before; the step may be
    /// taken when this has succeeded.
    pub(super) fn remember(&self, value: &impl Serialize) -> Result<(), CniError> {
        let value = serde_json::to_value(value).map_err(|error| self.unreadable(&error))?;
        self.memory.notes.borrow_mut().saved.insert(self.slot(), value);
        self.memory.save()
    }

    /// What this plugin wrote down, if it did.
    pub(super) fn remembered<T: DeserializeOwned>(&self) -> Result<Option<T>, CniError> {
        let notes = self.memory.notes.borrow();
        let value = notes.saved.get(&self.slot()).cloned();
        value.map(serde_json::from_value).transpose().map_err(|error| self.unreadable(&error))
    }

    /// Notes what the interface does not get, as a sentence for people; the pod starts all the same.
    pub(super) fn lacks(&self, what: impl Into<String>) {
        let (what, mut notes) = (what.into(), self.memory.notes.borrow_mut());
        if !notes.lacks.contains(&what) {
            notes.lacks.push(what);
        }
    }

    /// The plugin's place in its chain.
    fn slot(&self) -> String {
        format!("{}:{}", self.position, self.config.plugin_type())
    }

    fn unreadable(&self, error: &serde_json::Error) -> CniError {
        CniError::new(
            Code::State,
            format!("{}: what was noted for {} cannot be used", self.config.plugin_type(), self.ifname),
        )
        .because(error.to_string())
    }
}
