//! The container runtime's part: executes a CNI plugin with `CNI_*` in the environment and the config on stdin.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use plexus_cni::env::Command;
use serde_json::Value;

use super::command::{COMMAND_DEADLINE_MS, Finished, run_with_input};
use super::{Binaries, Host, LabError, Pod};

/// One call's end: exit code, output and time.
pub type Outcome = Finished;

impl Outcome {
    /// What the plugin printed, as JSON; `Null` if it printed nothing.
    pub fn json(&self) -> Result<Value, LabError> {
        if self.stdout.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.stdout).map_err(|error| LabError::Unexpected {
            what: "the plugin's standard output".into(),
            expected: "one JSON document".into(),
            seen: format!("{error} in {:?}", self.stdout),
        })
    }

    /// The JSON of a call that must have succeeded.
    pub fn success(&self) -> Result<Value, LabError> {
        if self.code == 0 {
            return self.json();
        }
        Err(LabError::Command {
            command: "CNI plugin".into(),
            status: self.code.to_string(),
            said: format!("{} {}", self.stdout.trim(), self.stderr.trim()),
        })
    }

    /// The CNI code of a call that must have failed, e.g. 11.
    pub fn error_code(&self) -> Result<u64, LabError> {
        let answer = self.json()?;
        let code = answer.get("code").and_then(Value::as_u64).filter(|_| self.code != 0);
        code.ok_or_else(|| LabError::Unexpected {
            what: "the plugin's end".into(),
            expected: "a failure with a CNI error".into(),
            seen: format!("exit code {} and {answer}", self.code),
        })
    }
}

/// A container runtime that knows one plugin.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The plugin that is executed; by default the shim.
    pub plugin: PathBuf,
    /// `CNI_PATH`.
    pub path: String,
    /// Variables beside `CNI_*`, e.g. `PLEXUS_SOCKET`.
    pub variables: Vec<(String, String)>,
    /// After this a call is killed.
    pub deadline: Duration,
}

impl Runtime {
    /// A runtime that executes the shim, which finds the host's agent and its spool by variables.
    pub fn new(host: &Host, binaries: &Binaries) -> Self {
        Self {
            plugin: binaries.shim(),
            path: binaries.dir().display().to_string(),
            variables: vec![
                ("PLEXUS_SOCKET".into(), host.socket().display().to_string()),
                ("PLEXUS_STATE_DIR".into(), host.state_dir().display().to_string()),
            ],
            deadline: Duration::from_millis(COMMAND_DEADLINE_MS),
        }
    }

    /// A runtime that executes another plugin, which finds further ones (IPAM) beside itself.
    pub fn of_plugin(plugin: &Path) -> Self {
        let dir = plugin.parent().unwrap_or(Path::new("/"));
        Self {
            plugin: plugin.to_owned(),
            path: dir.display().to_string(),
            variables: Vec::new(),
            deadline: Duration::from_millis(COMMAND_DEADLINE_MS),
        }
    }

    /// `ADD` of the interface `ifname` to a pod.
    pub fn add(&self, pod: &Pod, ifname: &str, config: &Value) -> Result<Outcome, LabError> {
        self.call(Command::Add, pod, ifname, config)
    }

    /// `DEL` of the interface `ifname` from a pod.
    pub fn del(&self, pod: &Pod, ifname: &str, config: &Value) -> Result<Outcome, LabError> {
        self.call(Command::Del, pod, ifname, config)
    }

    /// Any verb for a pod, with the environment that containerd gives.
    pub fn call(
        &self,
        command: Command,
        pod: &Pod,
        ifname: &str,
        config: &Value,
    ) -> Result<Outcome, LabError> {
        let netns = pod.netns.path().display().to_string();
        let environment = [
            ("CNI_COMMAND", command.as_str()),
            ("CNI_CONTAINERID", &pod.container_id),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", ifname),
            ("CNI_ARGS", &pod.cni_args()),
            ("CNI_PATH", &self.path),
        ];
        self.execute(&environment, config.to_string().as_bytes())
    }

    /// Executes the plugin with exactly these `CNI_*` variables and this input.
    pub fn execute(&self, environment: &[(&str, &str)], stdin: &[u8]) -> Result<Outcome, LabError> {
        let mut process = Process::new(&self.plugin);
        process.envs(environment.iter().copied()).envs(self.variables.iter().cloned());
        run_with_input(&mut process, stdin, self.deadline)
    }
}
