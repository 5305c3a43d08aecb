//! How a call ended.

use plexus_agent::lab::Outcome;
use plexus_cni::Code;
use serde_json::Value;

/// What a call printed that must have succeeded.
#[track_caller]
pub(crate) fn succeeded(outcome: &Outcome) -> Value {
    match outcome.success() {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// The text of a call's error, which must have this code.
#[track_caller]
pub(crate) fn failed(outcome: &Outcome, code: Code) -> String {
    let error = outcome.json().unwrap();
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (outcome.code, error["code"].as_u64()),
        (1, Some(code.number().into())),
        "{} {}",
        outcome.stdout,
        outcome.stderr
    );
    format!("{}: {}", text("msg"), text("details"))
}
