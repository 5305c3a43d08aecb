//! What the shim does for the agent: it executes foreign plugins, and it sets sysctls in the pod.
//!
//! It runs in the host's namespaces with the runtime's environment (see [`plexus_cni::wire`]), so the agent needs neither
//! the host's root nor its privileges.

use std::os::fd::BorrowedFd;

use plexus_cni::json::Object;
use plexus_cni::limits::DELEGATE_STDOUT_BYTES_MAX;
use plexus_cni::sysctl::{SysctlOutcome, SysctlRequest};
use plexus_cni::wire::{ExecEnd, ExecOutcome, ExecRequest};
use plexus_cni::{CniError, CniResult, Code, Version};
use serde::Deserialize;
use serde_json::Value;

use crate::sandbox;

/// One execution of a foreign plugin.
#[derive(Clone, Copy, Debug)]
pub struct ExecCall<'a> {
    /// `CNI_COMMAND`
    pub command: &'static str,
    /// The plugin's plain name.
    pub plugin: &'a str,
    /// `CNI_CONTAINERID`
    pub container_id: &'a str,
    /// `CNI_NETNS`
    pub netns: Option<&'a str>,
    /// `CNI_IFNAME`
    pub ifname: &'a str,
    /// `CNI_ARGS`
    pub args: &'a str,
    /// `CNI_PATH`
    pub path: &'a [String],
    /// What it reads.
    pub config: &'a Object,
}

/// Somebody who does what the agent itself may not be allowed to.
pub trait Delegates {
    /// Executes a foreign plugin and returns what it printed on success; null where the verb prints nothing.
    fn exec(&self, call: &ExecCall<'_>) -> Result<Value, CniError>;

    /// Reads and writes sysctls in the network namespace `netns`: without a shim at hand by entering it, which needs
    /// CAP_SYS_ADMIN.
    fn sysctl(&self, netns: BorrowedFd<'_>, request: &SysctlRequest) -> Result<SysctlOutcome, CniError> {
        sandbox::work_sysctls(netns, request).map_err(|error| {
            CniError::new(Code::Kernel, "the pod's sysctls cannot be reached").because(error.to_string())
        })
    }
}

/// Nobody: for work that has no shim at hand.
pub struct NoShim;

impl Delegates for NoShim {
    fn exec(&self, call: &ExecCall<'_>) -> Result<Value, CniError> {
        Err(CniError::new(Code::TryAgain, format!("plugin {} cannot be executed now", call.plugin))
            .because("it runs with the next call of the container runtime"))
    }
}

impl ExecCall<'_> {
    /// The request to the shim.
    pub fn request(&self, deadline_ms: u64) -> ExecRequest {
        let variable = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        ExecRequest {
            plugin: self.plugin.to_owned(),
            path: self.path.to_vec(),
            env: vec![
                variable("CNI_COMMAND", self.command),
                variable("CNI_CONTAINERID", self.container_id),
                variable("CNI_NETNS", self.netns.unwrap_or_default()),
                variable("CNI_IFNAME", self.ifname),
                variable("CNI_ARGS", self.args),
                variable("CNI_PATH", &self.path.join(":")),
            ],
            stdin: Value::Object(self.config.clone()).to_string(),
            deadline_ms,
        }
    }

    /// What an outcome means for this call.
    pub fn interpret(&self, outcome: &ExecOutcome) -> Result<Value, CniError> {
        let failed = |code: Code, what: &str, why: String| {
            Err(CniError::new(code, format!("plugin {} {what} on {}", self.plugin, self.command))
                .because(why))
        };
        match &outcome.end {
            ExecEnd::Exited(0) if self.command == "ADD" => match serde_json::from_str(&outcome.stdout) {
                Ok(value @ Value::Object(_)) => Ok(value),
                Ok(_) => {
                    failed(Code::Decoding, "printed no result", "its output is not a JSON object".into())
                }
                Err(error) => {
                    failed(Code::Decoding, "printed no result", format!("its output is not JSON: {error}"))
                }
            },
            ExecEnd::Exited(0) => Ok(Value::Null),
            ExecEnd::Exited(status) => Err(self.plugins_own_error(*status, outcome)),
            ExecEnd::Signaled(signal) => {
                failed(Code::DelegateFailed, "died", format!("signal {signal}; {}", tail(&outcome.stderr)))
            }
            ExecEnd::TimedOut => failed(
                Code::DelegateTimeout,
                "did not end in time",
                format!("killed; {}", tail(&outcome.stderr)),
            ),
            ExecEnd::TooMuchOutput => failed(
                Code::Decoding,
                "printed too much",
                format!("killed after {DELEGATE_STDOUT_BYTES_MAX} bytes on standard output"),
            ),
            ExecEnd::NotFound => failed(
                Code::PluginMissing,
                "was not found",
                format!(
                    "no executable file of that name in {}; install the plugin there",
                    self.path.join(":")
                ),
            ),
            ExecEnd::NotStarted(why) => failed(Code::PluginNotStarted, "could not be started", why.clone()),
        }
    }

    /// The plugin's error object, passed on with its code (C059), or what it said instead.
    fn plugins_own_error(&self, status: i32, outcome: &ExecOutcome) -> CniError {
        #[derive(Deserialize)]
        struct Printed {
            code: u32,
            #[serde(default)]
            msg: String,
            #[serde(default)]
            details: String,
        }
        match serde_json::from_str::<Printed>(&outcome.stdout) {
            Ok(printed) => {
                let code = Code::from(printed.code);
                let hint = match (code, self.config.get("cniVersion")) {
                    (Code::IncompatibleVersion, Some(version)) => format!(
                        "; it was called in {version}, the network's version: write one that all of its plugins \
                         speak into \"cniVersion\" of the network's config"
                    ),
                    _ => String::new(),
                };
                CniError::new(code, format!("plugin {}: {}", self.plugin, printed.msg))
                    .because(printed.details + &hint)
            }
            Err(_) => CniError::new(
                Code::DelegateFailed,
                format!("plugin {} failed on {} without an error object", self.plugin, self.command),
            )
            .because(format!("exit status {status}; {}", tail(&outcome.stderr))),
        }
    }
}

/// The result that a plugin printed; one of a version that nobody here knows may mean anything.
pub fn result_of(plugin: &str, printed: &Value) -> Result<CniResult, CniError> {
    let what = format!("result of plugin {plugin}");
    match printed.get("cniVersion") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        version => {
            Version::from_config(version).map_err(|error| {
                CniError::new(Code::Decoding, format!("{what} cannot be read")).because(error.to_string())
            })?;
        }
    }
    CniResult::from_value(printed, &what)
}

/// Whether a plugin that failed so at ADD did nothing that a DEL could undo, and would fail in the same way there.
pub fn is_without_effect(error: &CniError) -> bool {
    matches!(error.code, Code::IncompatibleVersion | Code::PluginMissing | Code::PluginNotStarted)
}

/// The end of what a plugin said on standard error, short enough for an event.
fn tail(stderr: &str) -> String {
    const CHARS_MAX: usize = 300;
    let text = stderr.trim();
    if text.is_empty() {
        return "it said nothing on standard error".into();
    }
    let skip = text.chars().count().saturating_sub(CHARS_MAX);
    format!("it said: {}", text.chars().skip(skip).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpret(command: &'static str, end: ExecEnd, stdout: &str) -> Result<Value, CniError> {
        let (config, path) = (Object::new(), ["/opt/cni/bin".to_owned()]);
        let call = ExecCall {
            command,
            plugin: "ptp",
            container_id: "c",
            netns: None,
            ifname: "net1",
            args: "",
            path: &path,
            config: &config,
        };
        call.interpret(&ExecOutcome { end, stdout: stdout.into(), stderr: "boom".into() })
    }

    #[test]
    fn c059_a_delegates_error_is_passed_on() {
        let printed = r#"{"cniVersion":"1.0.0","code":777,"msg":"no","details":"why"}"#;
        let error = interpret("ADD", ExecEnd::Exited(1), printed).unwrap_err();
        assert_eq!((error.code, &*error.details), (Code::Other(777), "why"));
        let error = interpret("ADD", ExecEnd::Exited(2), "rubbish").unwrap_err();
        assert!(error.details.contains("boom") && error.details.contains('2'));
    }

    #[test]
    fn a_version_that_a_plugin_refuses_is_named_with_what_to_do() {
        let printed = r#"{"code":1,"msg":"incompatible CNI versions","details":"supports [0.4.0]"}"#;
        let config = serde_json::json!({"cniVersion": "1.1.0"});
        let path = [];
        let call = ExecCall {
            command: "ADD",
            plugin: "old",
            container_id: "c",
            netns: None,
            ifname: "net1",
            args: "",
            path: &path,
            config: config.as_object().unwrap(),
        };
        let outcome = ExecOutcome { end: ExecEnd::Exited(1), stdout: printed.into(), stderr: String::new() };
        let error = call.interpret(&outcome).unwrap_err();
        assert!(is_without_effect(&error));
        for part in ["old", "0.4.0", "1.1.0", "cniVersion"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_result_of_an_unknown_version_is_refused() {
        let read = |version: Value| result_of("p", &serde_json::json!({"cniVersion": version}));
        assert!(read("0.3.1".into()).is_ok() && read(Value::Null).is_ok());
        for wrong in [Value::from("9.9.9"), Value::from(1), Value::from("one")] {
            assert_eq!(read(wrong.clone()).unwrap_err().code, Code::Decoding, "{wrong}");
        }
    }

    #[test]
    fn c144_success_without_a_result_is_a_decoding_error() {
        for stdout in ["", "[]", "{", "null"] {
            assert_eq!(
                interpret("ADD", ExecEnd::Exited(0), stdout).unwrap_err().code,
                Code::Decoding,
                "{stdout:?}"
            );
        }
        assert_eq!(interpret("DEL", ExecEnd::Exited(0), "").unwrap(), Value::Null);
    }
}
