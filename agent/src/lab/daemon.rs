//! A running plexusd that ends with its guard.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plexus_cni::wire::Query;

use super::apiserver::{KubeApi, NODE};
use super::query::ask;
use super::{Binaries, Host, LabError};

/// How long plexusd may take until it answers, in milliseconds.
const READY_DEADLINE_MS: u64 = 30_000;
/// How long plexusd may take to end after SIGTERM, in milliseconds.
const STOP_DEADLINE_MS: u64 = 10_000;
/// Time between two looks, in milliseconds.
const POLL_MS: u64 = 5;
/// Lines of the log that an error shows.
const LOG_LINES_SHOWN: usize = 20;

/// How plexusd is started.
#[derive(Clone, Debug)]
pub struct DaemonSetup {
    /// The binary.
    pub plexusd: PathBuf,
    /// `--manifests`, if given.
    pub manifests: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: PathBuf,
    /// `--socket`
    pub socket: PathBuf,
    /// `--bpffs`
    pub bpffs: PathBuf,
    /// `--bin-dir`, directories of foreign plugins.
    pub bin_dir: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further variables, e.g. of fault injection.
    pub variables: Vec<(String, String)>,
    /// Where its output is appended.
    pub log: PathBuf,
}

impl DaemonSetup {
    /// All paths beneath the host's lab directory; foreign plugins are those of Debian.
    pub fn new(host: &Host, binaries: &Binaries) -> Self {
        Self {
            plexusd: binaries.plexusd(),
            manifests: Some(host.manifests_dir()),
            state_dir: host.state_dir(),
            socket: host.socket(),
            bpffs: host.bpffs(),
            bin_dir: "/usr/lib/cni".into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            log: host.dir().join("plexusd.log"),
        }
    }

    /// Pods and networks come from this API server instead of manifests.
    #[must_use]
    pub fn of_cluster(mut self, api: &KubeApi) -> Self {
        self.manifests = None;
        let kubeconfig = api.kubeconfig().display().to_string();
        self.arguments.extend(["--kubeconfig".into(), kubeconfig, "--node-name".into(), NODE.into()]);
        self
    }

    /// Starts plexusd in the calling thread's host and waits until it answers.
    pub fn start(self) -> Result<Plexusd, LabError> {
        let child = self.spawn()?;
        let mut daemon = Plexusd { setup: self, child };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    fn spawn(&self) -> Result<Child, LabError> {
        let log = self.open_log()?;
        let errors = log.try_clone().map_err(LabError::io("duplicate the log's descriptor"))?;
        // setpriv ties plexusd's life to ours even if we are killed, and then becomes plexusd: the pid is the same.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.plexusd).arg("run");
        if let Some(manifests) = &self.manifests {
            command.arg("--manifests").arg(manifests);
        }
        command.arg("--state-dir").arg(&self.state_dir);
        command.arg("--socket").arg(&self.socket).arg("--bpffs").arg(&self.bpffs);
        command.arg("--bin-dir").arg(&self.bin_dir).args(&self.arguments);
        // The log is a file.
        command.env("NO_COLOR", "1");
        command.envs(self.variables.iter().cloned()).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(LabError::io(format!("start {} by setpriv", self.plexusd.display())))
    }

    fn open_log(&self) -> Result<File, LabError> {
        let open = OpenOptions::new().create(true).append(true).open(&self.log);
        open.map_err(LabError::io(format!("open {}", self.log.display())))
    }
}

/// A running plexusd; it is killed on drop.
#[derive(Debug)]
pub struct Plexusd {
    setup: DaemonSetup,
    child: Child,
}

impl Plexusd {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it was started.
    pub fn setup(&self) -> &DaemonSetup {
        &self.setup
    }

    /// Sends it a query.
    pub fn ask(&self, query: &Query) -> Result<serde_json::Value, LabError> {
        ask(&self.setup.socket, query, Duration::from_secs(10))
    }

    /// Ends it by SIGKILL, as a crash would.
    pub fn kill(&mut self) -> Result<ExitStatus, LabError> {
        let what = format!("kill plexusd (pid {})", self.child.id());
        self.child.kill().map_err(LabError::io(what.clone()))?;
        self.child.wait().map_err(LabError::io(what))
    }

    /// Ends it by SIGTERM, as systemd or kubelet would, and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus, LabError> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).map_err(LabError::io(format!("send SIGTERM to plexusd (pid {pid})")))?;
        self.wait_until_ended(STOP_DEADLINE_MS)
    }

    /// Waits until it has ended by itself, e.g. at an injected fault.
    pub fn wait_until_ended(&mut self, limit_ms: u64) -> Result<ExitStatus, LabError> {
        let ended =
            |daemon: &mut Self| daemon.child.try_wait().map_err(LabError::io("wait for plexusd")).transpose();
        self.poll_for(limit_ms, "plexusd did not end", ended)
    }

    /// Starts it again with the same setup, after it has ended, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.child = self.setup.spawn()?;
        self.wait_until_ready()
    }

    /// The resident memory of the process, in KiB.
    pub fn resident_kib(&self) -> Result<u64, LabError> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).map_err(LabError::io(format!("read {path}")))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| LabError::Unexpected {
            what: path,
            expected: "VmRSS".into(),
            seen: "none".into(),
        })
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.setup.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn wait_until_ready(&mut self) -> Result<(), LabError> {
        self.poll_for(READY_DEADLINE_MS, "plexusd did not answer", |daemon| {
            if let Ok(Some(status)) = daemon.child.try_wait() {
                return Some(Err(LabError::Command {
                    command: daemon.setup.plexusd.display().to_string(),
                    status: status.to_string(),
                    said: daemon.log_tail(),
                }));
            }
            daemon.ask(&Query::Status).ok().map(|_| Ok(()))
        })
    }

    fn poll_for<T>(
        &mut self,
        limit_ms: u64,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<Result<T, LabError>>,
    ) -> Result<T, LabError> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        while Instant::now() < deadline {
            if let Some(seen) = look(self) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(POLL_MS));
        }
        let detail = format!("its log ends:\n{}", self.log_tail());
        Err(LabError::TimedOut { what: what.into(), limit_ms: limit_ms.into(), detail })
    }
}

impl Drop for Plexusd {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
