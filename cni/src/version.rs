//! CNI specification versions spoken here.

use serde_json::Value;

use crate::error::{CniError, Code};

/// A version of the CNI specification that Plexus speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.3.0
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0: adds CHECK.
    V0_4_0,
    /// 1.0.0: `ips[].version` is gone.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS, `mtu`, `socketPath`, `pciID` and route metrics.
    V1_1_0,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; 5] =
        [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
    /// The newest.
    pub const NEWEST: Version = Version::V1_1_0;

    /// As written in a config.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// The version that a config's `cniVersion` names; absent means 0.1.0, which is refused (C012, C013).
    pub fn from_config(value: Option<&Value>) -> Result<Version, CniError> {
        let text = match value {
            None | Some(Value::Null) => "0.1.0",
            Some(Value::String(text)) if text.is_empty() => "0.1.0",
            Some(Value::String(text)) => text,
            Some(other) => {
                return Err(CniError::new(
                    Code::Decoding,
                    format!("cniVersion must be a string such as \"1.0.0\", found {other}"),
                ));
            }
        };
        if let Some(version) = Version::ALL.into_iter().find(|version| version.as_str() == text) {
            return Ok(version);
        }
        if !is_semver(text) {
            return Err(CniError::new(
                Code::Decoding,
                format!("cniVersion {text:?} is not a version number"),
            ));
        }
        let spoken: Vec<_> = Version::ALL.iter().map(|version| version.as_str()).collect();
        Err(CniError::new(Code::IncompatibleVersion, format!("cniVersion {text} is not supported"))
            .because(format!("supported versions: {}", spoken.join(", "))))
    }
}

impl Version {
    /// The highest that is spoken here of `own`, what a config's `cniVersion` says, and its `cniVersions` (C122).
    pub fn negotiated(own: Result<Self, CniError>, others: Option<&Value>) -> Result<Self, CniError> {
        let others = match others {
            None | Some(Value::Null) => return own,
            Some(Value::Array(list)) => list,
            Some(other) => {
                let what =
                    format!("cniVersions must be a list such as [\"1.0.0\", \"1.1.0\"], found {other}");
                return Err(CniError::new(Code::Decoding, what));
            }
        };
        let mut best = own;
        for other in others {
            match (Version::from_config(Some(other)), &best) {
                (Ok(version), Ok(known)) if version <= *known => {}
                (Ok(version), _) => best = Ok(version),
                // A newer one than we know is what the list is for.
                (Err(error), _) if error.code == Code::IncompatibleVersion => {}
                (Err(error), _) => return Err(error.within("cniVersions")),
            }
        }
        best
    }
}

/// Whether `text` is MAJOR.MINOR.PATCH with nothing but digits.
fn is_semver(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.len() <= 9 && part.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c012_an_unknown_version_lists_the_supported_ones() {
        let error = Version::from_config(Some(&json!("2.0.0"))).unwrap_err();
        assert_eq!(error.code, Code::IncompatibleVersion);
        assert!(error.details.contains("0.3.0") && error.details.contains("1.1.0"));
    }

    #[test]
    fn c013_an_absent_version_is_0_1_0_and_a_malformed_one_does_not_decode() {
        assert_eq!(Version::from_config(None).unwrap_err().code, Code::IncompatibleVersion);
        for wrong in [json!(1), json!("one"), json!("1.0"), json!("1.0.0-rc"), json!({})] {
            assert_eq!(Version::from_config(Some(&wrong)).unwrap_err().code, Code::Decoding, "{wrong}");
        }
    }
}
