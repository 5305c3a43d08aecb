//! CNI error codes and the error object that a plugin prints.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::version::Version;

/// An error code: the specification's own below 100, ours from 100 on, and a delegate's passed through.
///
/// Source: CNI SPEC 1.1.0, "Error". Codes 8 to 10, 12 to 49 and 52 to 99 are reserved and never emitted by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub enum Code {
    /// The config's `cniVersion` is not spoken here.
    IncompatibleVersion,
    /// A field of the config is not supported; the message holds key and value.
    UnsupportedField,
    /// The container is unknown and nothing needs cleaning up.
    UnknownContainer,
    /// A `CNI_*` variable is missing or wrong.
    InvalidEnvironment,
    /// Reading stdin or a file failed.
    Io,
    /// Something is not the JSON it should be.
    Decoding,
    /// The config is JSON but says something impossible.
    InvalidConfig,
    /// A passing condition; the runtime should try again.
    TryAgain,
    /// STATUS: no ADD can be served.
    Unavailable,
    /// STATUS: no ADD can be served and running containers have lost connectivity.
    LimitedConnectivity,
    /// Something of ours failed that should not.
    Internal,
    /// A NetworkAttachmentDefinition or network config does not exist.
    NetworkNotFound,
    /// The pod does not exist (any more) or is another one of that name.
    PodNotFound,
    /// The interface name is taken in the container.
    InterfaceExists,
    /// The kernel refused a link, address, route or rule.
    Kernel,
    /// No free address in a range.
    RangeExhausted,
    /// A requested address is held by another attachment or lies outside the ranges.
    AddressUnavailable,
    /// `CNI_NETNS` is not a network namespace, or not the container's.
    InvalidNetns,
    /// A delegate failed without an error object of its own.
    DelegateFailed,
    /// A delegate did not end within its deadline.
    DelegateTimeout,
    /// The eBPF data plane refused a port.
    Datapath,
    /// CHECK found that the kernel is not as the result says.
    CheckFailed,
    /// Policy or isolation forbids this attachment.
    NotAuthorized,
    /// The container already has this attachment.
    AlreadyAttached,
    /// A record of ours could not be read or written.
    State,
    /// The pod has no device left of a resource that a network needs, or nobody knows its devices.
    DeviceUnavailable,
    /// A plugin that is to be executed is not in the directories.
    PluginMissing,
    /// A plugin that is to be executed is there and could not be started.
    PluginNotStarted,
    /// A delegate's code, passed through.
    Other(u32),
}

/// Codes, numbers and metric labels; one row each.
const TABLE: &[(Code, u32, &str)] = &[
    (Code::IncompatibleVersion, 1, "incompatible_version"),
    (Code::UnsupportedField, 2, "unsupported_field"),
    (Code::UnknownContainer, 3, "unknown_container"),
    (Code::InvalidEnvironment, 4, "invalid_environment"),
    (Code::Io, 5, "io"),
    (Code::Decoding, 6, "decoding"),
    (Code::InvalidConfig, 7, "invalid_config"),
    (Code::TryAgain, 11, "try_again"),
    (Code::Unavailable, 50, "unavailable"),
    (Code::LimitedConnectivity, 51, "limited_connectivity"),
    (Code::Internal, 100, "internal"),
    (Code::NetworkNotFound, 101, "network_not_found"),
    (Code::PodNotFound, 102, "pod_not_found"),
    (Code::InterfaceExists, 103, "interface_exists"),
    (Code::Kernel, 104, "kernel"),
    (Code::RangeExhausted, 105, "range_exhausted"),
    (Code::AddressUnavailable, 106, "address_unavailable"),
    (Code::InvalidNetns, 107, "invalid_netns"),
    (Code::DelegateFailed, 108, "delegate_failed"),
    (Code::DelegateTimeout, 109, "delegate_timeout"),
    (Code::Datapath, 110, "datapath"),
    (Code::CheckFailed, 111, "check_failed"),
    (Code::NotAuthorized, 112, "not_authorized"),
    (Code::AlreadyAttached, 113, "already_attached"),
    (Code::State, 114, "state"),
    (Code::DeviceUnavailable, 115, "device_unavailable"),
    (Code::PluginMissing, 116, "plugin_missing"),
    (Code::PluginNotStarted, 117, "plugin_not_started"),
];

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Code::Other(number) => number,
            known => TABLE.iter().find(|row| row.0 == known).map_or(100, |row| row.1),
        }
    }

    /// The value of the `result` label in metrics.
    pub fn metric_label(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("delegate", |row| row.2)
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(self) -> bool {
        matches!(self, Code::TryAgain | Code::Unavailable | Code::RangeExhausted | Code::DelegateTimeout)
    }
}

impl From<u32> for Code {
    fn from(number: u32) -> Self {
        TABLE.iter().find(|row| row.1 == number).map_or(Code::Other(number), |row| row.0)
    }
}

impl From<Code> for u32 {
    fn from(code: Code) -> Self {
        code.number()
    }
}

/// What a plugin prints on stdout when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details}", if details.is_empty() { "" } else { ": " })]
pub struct CniError {
    /// The reason as a number.
    pub code: Code,
    /// What failed, on what; one line that ends up in `kubectl describe pod`.
    pub msg: String,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same error with why, and what to do.
    pub fn because(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same error with `context` in front of the message: which attachment it happened to.
    pub fn within(mut self, context: impl AsRef<str>) -> Self {
        self.msg = format!("{}: {}", context.as_ref(), self.msg);
        self
    }

    /// The error object as it goes to stdout.
    pub fn to_json(&self, version: Version) -> String {
        let mut object = json!({
            "cniVersion": version.as_str(),
            "code": self.code.number(),
            "msg": self.msg,
        });
        if !self.details.is_empty() {
            object["details"] = json!(self.details);
        }
        object.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for (code, number, _) in TABLE {
            assert_eq!(Code::from(*number), *code);
            assert_eq!(code.number(), *number);
        }
        assert_eq!(Code::from(777), Code::Other(777));
    }

    #[test]
    fn c005_own_codes_start_at_100_and_reserved_ones_are_unused() {
        for (_, number, label) in TABLE {
            let allowed = matches!(number, 1..=7 | 11 | 50 | 51 | 100..);
            assert!(allowed, "{label} uses the reserved code {number}");
        }
    }

    #[test]
    fn details_are_left_out_when_there_are_none() {
        let text = CniError::new(Code::Io, "x").to_json(Version::V1_0_0);
        assert_eq!(text, r#"{"cniVersion":"1.0.0","code":5,"msg":"x"}"#);
    }
}
