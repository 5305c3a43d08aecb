//! The API server as a source: watches of this node's pods and of all networks, and single calls.
//!
//! All of it runs on one thread with a runtime of its own. Decoding a list takes longer than the shim's server may be
//! silent, and a call to a server that is far away must not stand in anybody's way.

mod apiserver;
mod backoff;
mod claims;
mod client;
mod error;
mod kind;
mod leases;
mod pools;
mod session;
mod watch;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context as _;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;
use tokio::runtime::{Builder, Handle};

pub use apiserver::ApiServer;
pub use error::{ApiError, ApiErrorKind};

use self::session::{Connect, Session};
use super::{Calls, Catalog, Reader};

/// Pause before a task that panicked starts again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts to follow the cluster into `catalog`; returns as soon as the credentials are read, and does not wait for the
/// API server. `kubeconfig` is absent inside a cluster.
pub fn start(
    kubeconfig: Option<PathBuf>,
    node_name: String,
    whereabouts_namespace: String,
    catalog: &Arc<Catalog>,
    calls: &Arc<Calls>,
) -> anyhow::Result<Arc<ApiServer>> {
    let connect: Connect = Box::new(move || Box::pin(client::connect(kubeconfig.clone())));
    start_with(connect, node_name, whereabouts_namespace, catalog, calls)
}

fn start_with(
    connect: Connect,
    node_name: String,
    whereabouts_namespace: String,
    catalog: &Arc<Catalog>,
    calls: &Arc<Calls>,
) -> anyhow::Result<Arc<ApiServer>> {
    let (started, start) = sync_channel(1);
    let (fed, calls) = (Arc::clone(catalog), Arc::clone(calls));
    let serve = move || {
        let opened = Builder::new_current_thread().enable_all().build().context("no runtime can be made");
        let opened = opened.and_then(|runtime| {
            let session = runtime.block_on(Session::open(connect, calls))?;
            Ok((runtime, Arc::new(session)))
        });
        let (runtime, session) = match opened {
            Ok(opened) => opened,
            Err(error) => return started.send(Err(error)).unwrap_or_default(),
        };
        let api =
            ApiServer { runtime: Handle::clone(runtime.handle()), session, node_name, whereabouts_namespace };
        let api = Arc::new(api);
        runtime.block_on(async {
            follow(&api, &fed);
            started.send(Ok(Arc::clone(&api))).unwrap_or_default();
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("cluster".into()).spawn(serve).context("no thread can be started")?;
    let api = start.recv().context("the cluster's thread ended")??;
    catalog.read_through(Arc::clone(&api) as Arc<dyn Reader>);
    Ok(api)
}

/// Starts both watches.
fn follow(api: &ApiServer, catalog: &Arc<Catalog>) {
    let of_this_node = format!("spec.nodeName={}", api.node_name);
    let (pods, networks) = (Arc::clone(&api.session), Arc::clone(&api.session));
    let (pods_into, networks_into) = (Arc::clone(catalog), Arc::clone(catalog));
    tokio::spawn(for_ever(move || {
        watch::follow::<Pod>(Arc::clone(&pods), Arc::clone(&pods_into), Some(of_this_node.clone()))
    }));
    tokio::spawn(for_ever(move || {
        watch::follow::<NetworkAttachmentDefinition>(Arc::clone(&networks), Arc::clone(&networks_into), None)
    }));
}

/// Starts a task again if it ends by a panic: a cache that nobody feeds would look like a quiet cluster.
async fn for_ever<F: Future<Output = ()> + Send + 'static>(task: impl Fn() -> F) {
    loop {
        if let Err(error) = tokio::spawn(task()).await {
            tracing::error!(%error, "following the cluster ended; this is a defect of plexusd, please report it");
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
