//! `plexusd run`: from the start to the signal.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::delegate::NoShim;
use crate::netlink::Netlink;
use crate::settings::Settings;
use crate::status::Publisher;
use crate::worker::Pool;
use crate::{reconcile, repair, server, spool};

/// Takes over what is there, then serves until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    let workers = settings.workers;
    let socket = settings.socket.clone();
    let agent = Arc::new(Agent::open(settings).context("plexusd cannot start")?);
    let host = Netlink::open()?;
    repair::release_earlier_boots(&agent, &host);
    repair::repair(&agent, &host);
    spool::replay(&agent, &host, &NoShim);
    drop(host);
    Publisher::start(&agent).context("cannot start to publish")?;
    reconcile::start(&agent).context("cannot start the reconciler")?;
    let pool = Pool::start(&agent, workers).context("cannot start the workers")?;
    // One thread: it only passes messages on, and a hand-over to a second one would cost more than they do.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = server::listen(&socket)?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tracing::info!(socket = %socket.display(), "ready");
        tokio::select! {
            () = server::run(listener, Arc::clone(&agent), pool) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The socket goes first: a shim that finds none keeps its DEL instead of waiting for a closed door.
        std::fs::remove_file(&socket).with_context(|| format!("cannot remove {}", socket.display()))
    })?;
    if agent.records.all().is_empty() {
        // Nobody's packets depend on them: leave the node as it was found.
        agent.datapath.remove_all().context("cannot remove the pins")?;
    }
    Ok(())
}
