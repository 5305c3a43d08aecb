//! How it stands with the runtime's config, for those who ask while it is followed.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// How far the runtime's config has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Stage {
    /// Nobody asked for one.
    #[default]
    Unmanaged,
    /// There is none yet; the reason.
    Waiting {
        /// Why.
        why: String,
    },
    /// It is there and says what the primary CNI says now.
    Current {
        /// File of the primary CNI.
        primary: String,
    },
    /// It is there, but may be out of date; the reason.
    Stale {
        /// Why.
        why: String,
    },
}

/// The stage, shared.
#[derive(Clone, Debug, Default)]
pub struct State(Arc<Mutex<Stage>>);

impl State {
    /// The stage now.
    pub fn get(&self) -> Stage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the runtime has no config that leads here, if that is our business. An old one leads here as well.
    pub fn refusal(&self) -> Option<String> {
        match self.get() {
            Stage::Waiting { why } => Some(format!("the runtime's config is not written yet: {why}")),
            _ => None,
        }
    }

    /// Sets the stage; whether it is another one than before.
    pub(super) fn set(&self, stage: Stage) -> bool {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *now != stage;
        *now = stage;
        is_new
    }
}
