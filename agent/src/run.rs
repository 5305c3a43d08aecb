//! `plexusd run`: from the start to the signal.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::delegate::NoShim;
use crate::install::conflist;
use crate::ipam::dhcp;
use crate::ipam::whereabouts::reconcile as pools;
use crate::metrics::{self, Node, Page};
use crate::netlink::Netlink;
use crate::settings::Settings;
use crate::status::Publisher;
use crate::worker::Pool;
use crate::{follow, leases, reconcile, repair, server, spool};

/// Takes over what is there, then serves until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    // One thread: it only passes messages on, and a hand-over to a second one would cost more than they do.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let agent = runtime.block_on(serve(settings))?;
    if agent.records.all().is_empty() {
        // Nobody's packets depend on them: leave the node as it was found.
        agent.datapath.remove_all().context("cannot remove the pins")?;
    }
    Ok(())
}

/// Serves until the signal. The probes answer from the first moment on.
async fn serve(settings: Settings) -> anyhow::Result<Arc<Agent>> {
    let socket = settings.socket.clone();
    let page = Arc::new(Page::new(settings.metrics_multus_names));
    if let Some(address) = settings.metrics {
        let address = metrics::bind(address, &page).await?;
        tracing::info!(%address, "metrics are served");
    }
    let (agent, pool) = tokio::task::spawn_blocking(move || take_over(settings)).await??;
    let listener = server::listen(&socket)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let conflist = agent.settings.conflist.as_ref();
    let follower = conflist.map(|settings| conflist::start(settings, &agent.conflist)).transpose();
    let follower = follower.context("cannot follow the primary CNI's config")?;
    page.serve(Node::new(Arc::clone(&agent), pool.clone()));
    tracing::info!(socket = %socket.display(), "ready");
    tokio::select! {
        () = server::run(listener, Arc::clone(&agent), pool) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    page.stop();
    agent.seeing.end();
    if let Some(Err(error)) = follower.map(conflist::Follower::end) {
        tracing::error!("{error:#}");
    }
    // The socket goes first: a shim that finds none keeps its DEL instead of waiting for a closed door.
    std::fs::remove_file(&socket).with_context(|| format!("cannot remove {}", socket.display()))?;
    Ok(agent)
}

/// Opens the state, repairs what an earlier process left, and starts the threads.
fn take_over(settings: Settings) -> anyhow::Result<(Arc<Agent>, Pool)> {
    let workers = settings.workers;
    let agent = Arc::new(Agent::open(settings).context("plexusd cannot start")?);
    let host = Netlink::open()?;
    repair::release_earlier_boots(&agent, &host);
    repair::repair(&agent, &host);
    leases::take_over(&agent).context("cannot take over the leases of this node's slices")?;
    spool::replay(&agent, &host, &NoShim);
    dhcp::start(&agent).context("cannot start to renew leases")?;
    Publisher::start(&agent).context("cannot start to publish")?;
    follow::start(&agent).context("cannot start to follow networks and pods")?;
    reconcile::start(&agent).context("cannot start the reconciler")?;
    pools::start(&agent).context("cannot start the reconciler of the cluster's pools")?;
    let pool = Pool::start(&agent, workers).context("cannot start the workers")?;
    Ok((agent, pool))
}
