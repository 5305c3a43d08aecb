//! Sysctls of a network namespace: what they are called, and what is asked of them.
//!
//! Whoever works a request does so inside the namespace: the shim, or an agent that may enter it.

use std::io::{Error, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::error::{CniError, Code};
use crate::limits::{SYSCTL_NAME_BYTES_MAX, SYSCTL_VALUE_BYTES_MAX, SYSCTLS_MAX};

/// What stands for the interface's name in a config.
const IFNAME: &str = "IFNAME";

/// A sysctl below `net`, as its path below `/proc/sys`: `net/ipv4/conf/eth0/arp_filter`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlName(String);

impl SysctlName {
    /// Reads a name as configs write it, with dots or slashes; where the first separator is a dot, a slash inside a part
    /// means a dot, as for sysctl(8). `IFNAME` stands for the interface.
    pub fn parse(key: &str, ifname: &str) -> Result<Self, CniError> {
        let path = match key.find(['.', '/']) {
            Some(at) if key.as_bytes().get(at) == Some(&b'.') => key
                .chars()
                .map(|letter| match letter {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
            _ => key.to_owned(),
        };
        Self::try_from(path.replacen(IFNAME, ifname, 1))
    }

    /// The path below `/proc/sys`.
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SysctlName {
    type Error = CniError;

    fn try_from(path: String) -> Result<Self, CniError> {
        let refuse = |why: &str| {
            Err(CniError::new(Code::InvalidConfig, format!("sysctl {path:?} cannot be used"))
                .because(why.to_owned()))
        };
        let is_part =
            |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_graphic());
        if path.len() > SYSCTL_NAME_BYTES_MAX {
            return refuse("its name is too long");
        }
        let mut parts = path.split('/');
        if parts.next() != Some("net") || parts.next().is_none() {
            return refuse("only sysctls of a network namespace can be set, whose names begin with \"net.\"");
        }
        if !path.split('/').all(is_part) {
            return refuse("it has an empty part, '..', or something else that no sysctl's name has");
        }
        Ok(Self(path))
    }
}

impl From<SysctlName> for String {
    fn from(name: SysctlName) -> Self {
        name.0
    }
}

/// What is asked of one sysctl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SysctlSetting {
    /// The sysctl.
    pub name: SysctlName,
    /// What it shall be; absent where it is only read.
    pub value: Option<String>,
}

/// Sysctls to be read, and then written where a value is given, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SysctlRequest {
    /// At most [`SYSCTLS_MAX`].
    pub settings: Vec<SysctlSetting>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SysctlOutcome {
    /// One for each setting, in order; fewer where the request was refused as a whole.
    pub ends: Vec<SysctlEnd>,
}

/// What became of one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SysctlEnd {
    /// It was done; this is the value from before, where the kernel tells it.
    Done(Option<String>),
    /// The kernel has no such sysctl.
    Missing,
    /// It could not be done; the reason.
    Refused(String),
}

impl SysctlRequest {
    /// Works the request with these two, which take a path below `/proc/sys`. Each setting is tried, whatever became of
    /// those before it.
    pub fn work(
        &self,
        read: impl Fn(&str) -> Result<String, Error>,
        write: impl Fn(&str, &str) -> Result<(), Error>,
    ) -> SysctlOutcome {
        let end = |setting: &SysctlSetting| {
            let path = setting.name.path();
            let before = match read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return SysctlEnd::Missing,
                // Some can only be written, others have no value yet.
                other => other.ok(),
            };
            let wanted = setting.value.as_deref();
            let written = match wanted.filter(|wanted| before.as_deref() != Some(wanted)) {
                Some(value) if value.len() > SYSCTL_VALUE_BYTES_MAX => {
                    return SysctlEnd::Refused("the value is too long".into());
                }
                Some(value) => write(path, value),
                None => Ok(()),
            };
            written.map_or_else(|error| SysctlEnd::Refused(error.to_string()), |()| SysctlEnd::Done(before))
        };
        SysctlOutcome { ends: self.settings.iter().take(SYSCTLS_MAX).map(end).collect() }
    }

    /// The answer where nothing can be tried at all.
    pub fn refuse(&self, why: &str) -> SysctlOutcome {
        SysctlOutcome { ends: self.settings.iter().map(|_| SysctlEnd::Refused(why.to_owned())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn path(key: &str) -> Result<String, CniError> {
        SysctlName::parse(key, "eth0.5").map(String::from)
    }

    #[test]
    fn a_name_has_dots_or_slashes_and_the_interfaces_name() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.IFNAME.arp_filter", "net/ipv4/conf/eth0.5/arp_filter"),
            ("net/ipv4/conf/IFNAME/arp_filter", "net/ipv4/conf/eth0.5/arp_filter"),
            ("net/ipv4/conf/a.b/arp_filter", "net/ipv4/conf/a.b/arp_filter"),
            ("net.ipv4.conf.a/b.arp_filter", "net/ipv4/conf/a.b/arp_filter"),
            ("net.nf_conntrack_max", "net/nf_conntrack_max"),
        ] {
            assert_eq!(path(key).unwrap(), expected);
        }
    }

    #[test]
    fn a_name_stays_below_net() {
        for key in [
            "",
            "net",
            "net.",
            "kernel.hostname",
            "net/../kernel/hostname",
            "net..ipv4",
            "net/./a",
            "/net/a",
            "net/a b",
            "net/a\n",
            "net/a\0",
            "net.a.",
            "network.a",
            "net/ä",
            "vm/swappiness",
        ] {
            assert_eq!(path(key).unwrap_err().code, Code::InvalidConfig, "{key:?}");
        }
        assert!(path(&format!("net.{}", "a".repeat(SYSCTL_NAME_BYTES_MAX))).is_err());
        let travelled: Result<SysctlName, _> = serde_json::from_str("\"net/../kernel/hostname\"");
        assert!(travelled.is_err());
    }

    #[test]
    fn every_setting_is_tried_and_the_value_from_before_is_told() {
        let files = RefCell::new(HashMap::from([("net/a".to_owned(), "1".to_owned())]));
        let read = |path: &str| match path {
            "net/writeonly" => Err(Error::from(ErrorKind::PermissionDenied)),
            _ => files.borrow().get(path).cloned().ok_or(Error::from(ErrorKind::NotFound)),
        };
        let write = |path: &str, value: &str| {
            if value == "bad" {
                return Err(Error::from(ErrorKind::InvalidInput));
            }
            files.borrow_mut().insert(path.to_owned(), value.to_owned());
            Ok(())
        };
        let setting = |name: &str, value: Option<&str>| SysctlSetting {
            name: name.to_owned().try_into().unwrap(),
            value: value.map(str::to_owned),
        };
        let settings = vec![
            setting("net/a", Some("bad")),
            setting("net/b", Some("2")),
            setting("net/a", Some("2")),
            setting("net/a", None),
            setting("net/writeonly", Some("1")),
        ];
        let ends = SysctlRequest { settings }.work(read, write).ends;
        assert!(matches!(ends[0], SysctlEnd::Refused(_)));
        assert_eq!(ends[1], SysctlEnd::Missing);
        assert_eq!(ends[2], SysctlEnd::Done(Some("1".into())));
        assert_eq!(ends[3], SysctlEnd::Done(Some("2".into())));
        assert_eq!(ends[4], SysctlEnd::Done(None));
    }

    proptest! {
        #[test]
        fn no_key_leads_out_of_net(key in "(net)?[./a-zA-Z0-9 ~-]{0,40}", ifname in "[a-z./]{1,15}") {
            if let Ok(name) = SysctlName::parse(&key, &ifname) {
                prop_assert!(name.path().starts_with("net/"));
                prop_assert!(name.path().split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(SysctlName::try_from(name.path().to_owned()).unwrap(), name);
            }
        }
    }
}
