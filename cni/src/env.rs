//! The parameters of a call, from the `CNI_*` variables.

use serde::{Deserialize, Serialize};

use crate::error::{CniError, Code};
use crate::name::{check_container_id, check_ifname};
use crate::version::Version;

/// A CNI verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Compare with the result of ADD.
    Check,
    /// Release what is not in a list.
    Gc,
    /// Can an ADD be served?
    Status,
    /// Which versions are spoken?
    Version,
}

impl Command {
    /// As the runtime writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Gc => "GC",
            Command::Status => "STATUS",
            Command::Version => "VERSION",
        }
    }

    /// Refuses the command where the config's version does not have it yet (C097, C104, C118).
    pub fn exists_in(self, version: Version) -> Result<(), CniError> {
        let since = match self {
            Command::Check => Version::V0_4_0,
            Command::Gc | Command::Status => Version::V1_1_0,
            Command::Add | Command::Del | Command::Version => return Ok(()),
        };
        if version >= since {
            return Ok(());
        }
        Err(CniError::new(
            Code::IncompatibleVersion,
            format!("{} does not exist in cniVersion {}", self.as_str(), version.as_str()),
        )
        .because(format!("it came with {}; raise cniVersion in the config", since.as_str())))
    }

    fn parse(text: &str) -> Result<Self, CniError> {
        let all =
            [Command::Add, Command::Del, Command::Check, Command::Gc, Command::Status, Command::Version];
        all.into_iter().find(|command| command.as_str() == text).ok_or_else(|| {
            let what = if text.is_empty() { "is not set".to_owned() } else { format!("{text:?} is unknown") };
            CniError::new(Code::InvalidEnvironment, format!("CNI_COMMAND {what}"))
                .because("it must be ADD, DEL, CHECK, GC, STATUS or VERSION; the container runtime sets it")
        })
    }

    /// The variables without which the command cannot be served (C018 to C023).
    fn required(self) -> &'static [&'static str] {
        match self {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Command::Gc => &["CNI_PATH"],
            Command::Status | Command::Version => &[],
        }
    }
}

/// The parameters of one call, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The verb.
    pub command: Command,
    /// `CNI_CONTAINERID`; empty where the verb needs none.
    pub container_id: String,
    /// `CNI_NETNS` as passed, never canonicalised: results repeat it (C046).
    pub netns: Option<String>,
    /// `CNI_IFNAME`; empty where the verb needs none.
    pub ifname: String,
    /// `CNI_ARGS` as passed.
    pub args: String,
    /// `CNI_PATH`, split.
    pub path: Vec<String>,
}

impl Environment {
    /// Reads and checks the variables through `variable`, which gives an unset one as `None`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let text = |key: &str| variable(key).unwrap_or_default();
        let command = Command::parse(&text("CNI_COMMAND"))?;
        let missing: Vec<_> = command.required().iter().filter(|key| text(key).is_empty()).copied().collect();
        if !missing.is_empty() {
            return Err(CniError::new(
                Code::InvalidEnvironment,
                format!("required variables are not set for {}: {}", command.as_str(), missing.join(", ")),
            ));
        }
        let is_about_one = matches!(command, Command::Add | Command::Del | Command::Check);
        let of_one = |key: &str| if is_about_one { text(key) } else { String::new() };
        let environment = Self {
            command,
            container_id: of_one("CNI_CONTAINERID"),
            netns: Some(of_one("CNI_NETNS")).filter(|path| !path.is_empty()),
            ifname: of_one("CNI_IFNAME"),
            args: text("CNI_ARGS"),
            path: text("CNI_PATH").split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).collect(),
        };
        if is_about_one {
            check_container_id(&environment.container_id)?;
            check_ifname(&environment.ifname, "CNI_IFNAME")?;
        }
        Ok(environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Environment, CniError> {
        Environment::read(|key| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn c016_c017_an_unknown_or_absent_command_is_named() {
        for pairs in [&[][..], &[("CNI_COMMAND", "")], &[("CNI_COMMAND", "add")]] {
            let error = read(pairs).unwrap_err();
            assert_eq!(error.code, Code::InvalidEnvironment);
            assert!(error.msg.contains("CNI_COMMAND"));
        }
    }

    #[test]
    fn c018_c020_each_missing_variable_is_named() {
        for command in ["ADD", "CHECK"] {
            let error = read(&[("CNI_COMMAND", command)]).unwrap_err();
            for key in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
                assert!(error.msg.contains(key), "{}", error.msg);
            }
        }
    }

    #[test]
    fn c019_del_needs_no_netns() {
        let pairs = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
        assert_eq!(read(&pairs).unwrap().netns, None);
        assert!(read(&pairs[..1]).unwrap_err().msg.contains("CNI_CONTAINERID, CNI_IFNAME"));
    }

    #[test]
    fn c021_c022_gc_needs_the_path_and_status_nothing() {
        assert!(read(&[("CNI_COMMAND", "GC")]).unwrap_err().msg.contains("CNI_PATH"));
        assert!(read(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "/a:/b")]).is_ok());
        assert!(read(&[("CNI_COMMAND", "STATUS")]).is_ok());
        let status = read(&[("CNI_COMMAND", "STATUS"), ("CNI_CONTAINERID", "../x")]).unwrap();
        assert_eq!(status.container_id, "", "what the verb does not need is not passed on");
        assert!(read(&[("CNI_COMMAND", "VERSION")]).is_ok());
    }
}
