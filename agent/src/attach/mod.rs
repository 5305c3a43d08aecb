//! The verbs: what an ADD, DEL, CHECK, GC or STATUS does, whichever plugins it names.
//!
//! ```text
//! call → Request → plan → validate all → record the intent → chain by chain → record the results
//!                                                 └ on failure: undo in reverse, collect every error
//! ```

mod add;
mod chain;
mod change;
mod check;
mod default_route;
mod del;
mod device;
mod gc;
mod plan;
mod publish;
mod readiness;
mod request;
mod status;
mod taken_over;

pub use change::change;
pub use request::Request;

use plexus_cni::env::Command;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use crate::fault;

/// Serves one call; the answer is the result of an ADD, else null.
pub fn serve(request: &Request<'_>) -> Result<Value, CniError> {
    match request.call.command {
        Command::Add => fault::during(|| add::add(request)),
        Command::Del => del::del(request).map(|()| Value::Null),
        Command::Check => check::check(request).map(|()| Value::Null),
        Command::Gc => gc::gc(request).map(|()| Value::Null),
        Command::Status => status::status(request).map(|()| Value::Null),
        Command::Version => Err(CniError::new(Code::InvalidEnvironment, "VERSION is answered by the shim")),
    }
}
