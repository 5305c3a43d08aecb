//! The API server's own account of what it was asked.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::LabError;
use super::process::AUDIT_LOG;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// `get`, `list`, `watch`, `create`, `patch` …
    pub verb: String,
    /// `pods`, `pods/status`, `events` …
    pub resource: String,
    /// The object's namespace and name, as far as the request named them.
    pub object: String,
    /// The HTTP status of the answer.
    pub status: u64,
}

impl ApiCall {
    fn of(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let sub = object["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
        Self {
            verb: text(&event["verb"]),
            resource: format!("{}{sub}", text(&object["resource"])),
            object: format!("{}/{}", text(&object["namespace"]), text(&object["name"])),
            status: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}

/// Requests of `user` that have been answered, or whose answer has begun, in order.
pub(super) fn calls(dir: &Path, user: &str) -> Result<Vec<ApiCall>, LabError> {
    let path = dir.join(AUDIT_LOG);
    let text = fs::read_to_string(&path).map_err(LabError::io(format!("read {}", path.display())))?;
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_user = events.filter(|event| event["user"]["username"] == user);
    // A watch is noted twice: when it begins and when it ends.
    let begun = of_user.filter(|event| event["verb"] != "watch" || event["stage"] == "ResponseStarted");
    Ok(begun.map(|event| ApiCall::of(&event)).collect())
}
