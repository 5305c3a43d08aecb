//! A real API server with its database, inside a throw-away host.
//!
//! Both run in the host's network namespace, so their ports are nobody else's, and end with it. RBAC is on: the lab speaks
//! as an administrator, plexusd as the service account that `deploy/manifests/rbac.yaml` binds.

mod admin;
mod audit;
mod certificates;
mod database;
mod gate;
mod objects;
mod process;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

pub use admin::Admin;
pub use audit::ApiCall;
pub use gate::Gate;
pub use objects::{network, pod};

use self::certificates::Certificates;
use self::process::Process;
use super::{Host, LabError, skip};

/// Names the directory with `etcd` and `kube-apiserver`.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";
/// The node that the lab's pods are bound to.
pub const NODE: &str = "lab-node";
/// The service account of plexusd, as deploy/ has it.
const ACCOUNT: (&str, &str) = ("kube-system", "plexus");

/// The directory with both programs; else says that `test` is skipped.
#[must_use]
pub fn require_assets_or_skip(test: &str) -> Option<PathBuf> {
    let directory = std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from).unwrap_or_default();
    let is_complete = ["etcd", "kube-apiserver"].iter().all(|program| directory.join(program).is_file());
    if is_complete {
        return Some(directory);
    }
    let why = format!(
        "{ASSETS_VARIABLE} names no directory with etcd and kube-apiserver (`cargo xtask setup` makes one)"
    );
    skip::skipped(test, &why);
    None
}

/// A running API server; it and its database are killed on drop.
#[derive(Debug)]
pub struct KubeApi {
    assets: PathBuf,
    dir: PathBuf,
    server: Option<Process>,
    _etcd: Process,
    /// The administrator's client, which goes to the server directly.
    pub admin: Admin,
    /// What plexusd's way to the server leads through.
    pub gate: Gate,
}

impl KubeApi {
    /// Starts both programs in the calling thread's host and waits until they serve. Then there are the CRDs, the roles of
    /// deploy/manifests, the namespace `kube-system`, and a kubeconfig for plexusd.
    pub fn start(host: &Host, assets: &Path) -> Result<Self, LabError> {
        let dir = host.dir().join("kube");
        fs::create_dir_all(&dir).map_err(LabError::io(format!("create {}", dir.display())))?;
        let certificates = Certificates::write(&dir)?;
        process::write_settings(&dir)?;
        let etcd = process::etcd(assets, &dir)?;
        let server = process::server(assets, &dir)?;
        let admin = Admin::new(&certificates)?;
        let gate = Gate::open_at(process::GATE, process::ENDPOINT)?;
        let api = Self { assets: assets.to_owned(), dir, server: Some(server), _etcd: etcd, admin, gate };
        api.wait_until_ready()?;
        // The server makes it too, some seconds later.
        let default = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        api.admin
            .create(&default)
            .or_else(|error| api.admin.get("/api/v1/namespaces", "default").map_err(|_| error))?;
        api.admin.apply_file("manifests/crd.yaml")?;
        api.admin.apply_file("manifests/whereabouts-crds.yaml")?;
        api.admin.apply_file("manifests/rbac.yaml")?;
        api.admin.wait_for("the resource of networks", || {
            api.admin.get("/apis/k8s.cni.cncf.io/v1/network-attachment-definitions", "").map(drop)
        })?;
        for resource in ["ippools", "overlappingrangeipreservations", "nodeslicepools"] {
            api.admin.wait_for(resource, || {
                api.admin.get(&format!("/apis/whereabouts.cni.cncf.io/v1alpha1/{resource}"), "").map(drop)
            })?;
        }
        api.rotate_token()?;
        certificates.write_kubeconfig(&api.kubeconfig(), process::GATE, &api.token_file())?;
        certificates.write_kubeconfig(&api.direct_kubeconfig(), process::ENDPOINT, &api.token_file())?;
        Ok(api)
    }

    /// plexusd's kubeconfig; its token lies in [`KubeApi::token_file`].
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The same past the gate, for more connections than that relays.
    pub fn direct_kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig-direct")
    }

    /// The file with plexusd's token.
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("token")
    }

    /// Gets a new token for plexusd's service account and replaces the file, as the kubelet does with a projected one.
    pub fn rotate_token(&self) -> Result<(), LabError> {
        let (namespace, name) = ACCOUNT;
        let token = self.admin.token(namespace, name)?;
        let (draft, file) = (self.dir.join(".token"), self.token_file());
        fs::write(&draft, token)
            .and_then(|()| fs::rename(&draft, &file))
            .map_err(LabError::io(format!("write {}", file.display())))
    }

    /// Kills the API server; the database stays.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the API server again and waits until it serves.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.stop();
        self.server = Some(process::server(&self.assets, &self.dir)?);
        self.wait_until_ready()
    }

    /// Lets the database forget all versions before the present one.
    pub fn compact(&self) -> Result<(), LabError> {
        database::compact()
    }

    /// What plexusd has asked of the API server so far, in order.
    pub fn calls(&self) -> Result<Vec<ApiCall>, LabError> {
        let (namespace, name) = ACCOUNT;
        audit::calls(&self.dir, &format!("system:serviceaccount:{namespace}:{name}"))
    }

    fn wait_until_ready(&self) -> Result<(), LabError> {
        self.admin
            .wait_for("the API server", || self.admin.get("/api/v1/namespaces", "kube-system").map(drop))
            .map_err(|error| process::with_log(&self.dir, &error))
    }
}
