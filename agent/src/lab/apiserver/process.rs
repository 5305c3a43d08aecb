//! The two programs, each with a life that ends with the test's.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::LabError;
use super::certificates::{ACCOUNT_KEY, ACCOUNT_PUBLIC_KEY, SERVER_CERTIFICATE, SERVER_KEY};

/// Where the API server listens; the host's loopback is its own.
pub(super) const HOST: &str = "127.0.0.1";
/// Its address.
pub(super) const ENDPOINT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// The address of the relay before it.
pub(super) const GATE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6444);
/// The administrator's token.
pub(super) const ADMIN_TOKEN: &str = "lab-administrator";
/// Beneath the API server's directory.
pub(super) const AUDIT_LOG: &str = "audit.log";

/// Where the database serves clients.
pub(super) const DATABASE: &str = "127.0.0.1:2379";

const TOKENS: &str = "tokens.csv";
const AUDIT_POLICY: &str = "audit-policy.yaml";
const SERVER_LOG: &str = "kube-apiserver.log";
/// Characters of a log that an error shows.
const LOG_SHOWN: usize = 3000;

/// A running program; killed on drop.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Writes what the server reads at its start: one administrator, and what of each request is noted.
pub(super) fn write_settings(dir: &Path) -> Result<(), LabError> {
    let tokens = format!("{ADMIN_TOKEN},lab,lab,\"system:masters\"\n");
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";
    for (name, text) in [(TOKENS, tokens.as_str()), (AUDIT_POLICY, policy)] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(LabError::io(format!("write {}", path.display())))?;
    }
    Ok(())
}

/// Starts the database; its data is in memory, as all of the host's `/run`.
pub(super) fn etcd(assets: &Path, dir: &Path) -> Result<Process, LabError> {
    let arguments = [
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls=http://{DATABASE}"),
        format!("--advertise-client-urls=http://{DATABASE}"),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        "--unsafe-no-fsync".into(),
    ];
    spawn(&assets.join("etcd"), &arguments, &dir.join("etcd.log"))
}

/// Starts the API server with RBAC and an audit log that is written before each answer.
pub(super) fn server(assets: &Path, dir: &Path) -> Result<Process, LabError> {
    let file = |name: &str| dir.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers=http://{DATABASE}"),
        format!("--bind-address={HOST}"),
        format!("--advertise-address={HOST}"),
        format!("--secure-port={}", ENDPOINT.port()),
        format!("--cert-dir={}", dir.display()),
        format!("--tls-cert-file={}", file(SERVER_CERTIFICATE)),
        format!("--tls-private-key-file={}", file(SERVER_KEY)),
        format!("--token-auth-file={}", file(TOKENS)),
        "--authorization-mode=Node,RBAC".into(),
        "--service-account-issuer=https://lab".into(),
        format!("--service-account-signing-key-file={}", file(ACCOUNT_KEY)),
        format!("--service-account-key-file={}", file(ACCOUNT_PUBLIC_KEY)),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        // Nobody runs the controllers that make service accounts and endpoints.
        "--disable-admission-plugins=ServiceAccount".into(),
        "--endpoint-reconciler-type=none".into(),
        format!("--audit-policy-file={}", file(AUDIT_POLICY)),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        "--audit-log-mode=blocking".into(),
    ];
    spawn(&assets.join("kube-apiserver"), &arguments, &dir.join(SERVER_LOG))
}

fn spawn(program: &Path, arguments: &[String], log: &Path) -> Result<Process, LabError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(LabError::io(format!("open {}", log.display())))?;
    let errors = log.try_clone().map_err(LabError::io("duplicate the log's descriptor"))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
    let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
    child.map(Process).map_err(LabError::io(format!("start {} by setpriv", program.display())))
}

/// The error with the end of the API server's log.
pub(super) fn with_log(dir: &Path, error: &LabError) -> LabError {
    let log = fs::read_to_string(dir.join(SERVER_LOG)).unwrap_or_default();
    let from = log.len().saturating_sub(LOG_SHOWN);
    let tail = log.get(from..).unwrap_or_default();
    LabError::Unexpected {
        what: "starting the API server".into(),
        expected: "an answer".into(),
        seen: format!("{error}; its log ends:\n{tail}"),
    }
}
