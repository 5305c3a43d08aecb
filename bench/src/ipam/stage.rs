//! The host with an API server, and the sessions that simulated nodes share.

use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use plexus_agent::cluster::{self, ApiServer, Calls, Catalog};
use plexus_agent::lab::apiserver::require_assets_or_skip;
use plexus_agent::lab::{Host, KubeApi};
use tempfile::TempDir;

use super::node::Node;
use super::requests::Requests;
use crate::args::IpamOptions;

/// Where the objects are.
const NAMESPACE: &str = "kube-system";
/// Most sessions with the API server; more nodes share them. Each is a thread with connections of its own.
const SESSIONS_MAX: usize = 32;

/// Everything that the runs need; all of it ends with this value.
pub(super) struct Stage {
    sessions: Vec<(Arc<ApiServer>, Arc<Calls>)>,
    work: TempDir,
    // In this order: the API server ends before its host.
    pub(super) api: KubeApi,
    // The sessions' threads do not end, so this one cannot leave the host.
    _host: ManuallyDrop<Host>,
}

impl Stage {
    /// Starts the API server.
    pub(super) fn build(options: &IpamOptions) -> Result<Self> {
        let assets = require_assets_or_skip("bench ipam")
            .context("no API server: `cargo xtask setup` makes one, KUBEBUILDER_ASSETS names another")?;
        let work = match &options.work_dir {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        };
        let work = work.context("no directory for the nodes' leases")?;
        let host = ManuallyDrop::new(Host::enter()?);
        let api = KubeApi::start(&host, &assets)?;
        Ok(Self { sessions: Vec::new(), work, api, _host: host })
    }

    /// Simulated nodes whose network is called `network`; in fast mode with slices.
    pub(super) fn nodes(&mut self, network: &str, count: usize, is_fast: bool) -> Result<Vec<Node>> {
        while self.sessions.len() < count.min(SESSIONS_MAX) {
            let (catalog, calls) = (Arc::new(Catalog::default()), Arc::new(Calls::default()));
            let name = format!("session-{}", self.sessions.len());
            let api =
                cluster::start(Some(self.api.direct_kubeconfig()), name, NAMESPACE.into(), &catalog, &calls)?;
            self.sessions.push((api, calls));
        }
        let session = |number: usize| Arc::clone(&self.sessions[number % self.sessions.len()].0);
        let dir = |number: usize| self.work.path().join(format!("{network}-{number}"));
        (0..count).map(|number| Node::new(number, network, is_fast, session(number), &dir(number))).collect()
    }

    /// What all sessions ask.
    pub(super) fn requests(&self) -> Requests {
        Requests(self.sessions.iter().map(|(_, calls)| Arc::clone(calls)).collect())
    }

    /// Where the nodes keep their leases.
    pub(super) fn work_dir(&self) -> &Path {
        self.work.path()
    }
}
