//! The API server, for threads that may block.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use kube::api::GetParams;
use kube::core::Request;
use plexus_cni::CniError;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;
use tokio::runtime::Handle;

use super::error::{ApiError, ApiErrorKind};
use super::kind::Kind;
use super::session::{Session, Target};
use crate::cluster::Reader;

/// The API server. Its calls run on the cluster's own thread; whoever asks waits here, on a thread of his own.
pub struct ApiServer {
    pub(super) runtime: Handle,
    pub(super) session: Arc<Session>,
    pub(super) node_name: String,
    pub(super) whereabouts_namespace: String,
}

impl ApiServer {
    /// Runs a call on the cluster's thread and waits for it, at most until `deadline`.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        target: Target,
        deadline: Instant,
        call: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (answer, answered) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Nobody listens any more once the deadline has passed.
            answer.send(call.await).unwrap_or_default();
        });
        match answered.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                task.abort();
                Err(ApiError::too_late(target.verb, target.resource))
            }
        }
    }

    fn read<T: Kind>(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<T>, CniError> {
        let target = Target { verb: "get", resource: T::RESOURCE };
        let session = Arc::clone(&self.session);
        let request = Request::new(T::path(Some(namespace))).get(name, &GetParams::default());
        let wait = left(deadline);
        let found =
            self.wait_for(target, deadline, async move { session.send::<T>(target, request, wait).await });
        match found {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(CniError::from(error).within(format!("{} {namespace}/{name}", T::KIND))),
        }
    }
}

impl Reader for ApiServer {
    fn pod(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<Pod>, CniError> {
        let pod = self.read::<Pod>(namespace, name, deadline)?;
        if let Some(pod) = pod.as_ref().filter(|pod| pod.node_name != self.node_name) {
            tracing::error!(
                pod = %format!("{namespace}/{name}"), pods_node = pod.node_name, watched_node = self.node_name,
                "pods of another node are watched: --node-name or NODE_NAME must be the name of this node's Node object"
            );
        }
        Ok(pod)
    }

    fn nad(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
        self.read(namespace, name, deadline)
    }
}

/// Time until `deadline`.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
