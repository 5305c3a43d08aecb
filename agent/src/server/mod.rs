//! The socket: who may speak, and how many at once.

mod conversation;
mod frame;

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plexus_cni::wire::{Call, Follow, Reply};
use plexus_cni::{CniError, Code};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::agent::Agent;
use crate::query;
use crate::seeing;
use crate::worker::Pool;

/// A client that has not sent its whole call by then is dropped.
const FIRST_FRAME_WAIT: Duration = Duration::from_secs(5);

/// Makes the socket: mode 0600 in a directory of mode 0700. A file left by a killed process is replaced.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot guard {}", path.display()))?;
    Ok(listener)
}

/// Accepts connections until the process ends.
pub async fn run(listener: UnixListener, agent: Arc<Agent>, pool: Pool) {
    let places = Arc::new(Semaphore::new(agent.settings.connection_limit));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (agent, pool) = (Arc::clone(&agent), pool.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(Arc::new(stream), agent, pool).await {
                        tracing::warn!(%error, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: Arc<UnixStream>, agent: Arc<Agent>, pool: Pool) -> Result<(), CniError> {
    let peer = stream.peer_cred().map_err(|error| frame::lost(&error))?;
    if peer.uid() != 0 {
        let refusal =
            CniError::new(Code::NotAuthorized, format!("user {} may not use this socket", peer.uid()))
                .because("only root may");
        return frame::write(&stream, &Reply::Failed(refusal)).await;
    }
    let first = timeout(FIRST_FRAME_WAIT, frame::read_call(&stream)).await.map_err(|_| {
        CniError::new(Code::TryAgain, format!("no whole call came within {} s", FIRST_FRAME_WAIT.as_secs()))
    });
    match first.and_then(|read| read) {
        Ok((Call::Cni(call), descriptors)) => {
            let delegate_timeout = agent.settings.delegate_timeout;
            conversation::hold(&stream, call, descriptors, &pool, delegate_timeout).await
        }
        Ok((Call::Query(question), _)) => {
            let answered = tokio::task::spawn_blocking(move || query::answer(&agent, &question)).await;
            let reply = match answered {
                Ok(Ok(answer)) => Reply::Done(answer),
                Ok(Err(error)) => Reply::Failed(error),
                Err(_) => Reply::Failed(CniError::new(Code::Internal, "the question ended by a panic")),
            };
            frame::write(&stream, &reply).await
        }
        Ok((Call::Follow(wanted), _)) => follow(stream, agent, wanted).await,
        Err(error) => frame::write(&stream, &Reply::Failed(error)).await,
    }
}

/// Hands the connection to a thread of its own: what follows may be much, and this one serves the shims.
async fn follow(stream: Arc<UnixStream>, agent: Arc<Agent>, wanted: Follow) -> Result<(), CniError> {
    let shared = || CniError::new(Code::Internal, "the connection is in use elsewhere");
    let stream =
        Arc::into_inner(stream).ok_or_else(shared)?.into_std().map_err(|error| frame::lost(&error))?;
    let followed = tokio::task::spawn_blocking(move || seeing::serve(&agent, stream, &wanted)).await;
    followed.unwrap_or_else(|_| Err(CniError::new(Code::Internal, "following ended by a panic")))
}
