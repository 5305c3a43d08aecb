//! Calls to the API server, with its credentials, counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::Request;
use serde::de::DeserializeOwned;

use super::error::{ApiError, ApiErrorKind};
use crate::cluster::Calls;

/// Time between two renewals of refused credentials: calls that were under way may all fail with 401.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Time between two renewals where nobody answers: behind it can be a certificate that ran out, or a server that moved.
const UNREACHED_PAUSE: Duration = Duration::from_secs(30);

/// Makes a client from what kubeconfig or service account hold now.
pub(super) type Connect = Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<kube::Client>> + Send + Sync>;

/// A client that is made again when its credentials are refused.
pub(super) struct Session {
    connect: Connect,
    current: Mutex<Current>,
    calls: Arc<Calls>,
}

struct Current {
    client: kube::Client,
    renewed: Option<Instant>,
}

/// What is called, for counters and messages.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
}

impl Session {
    /// Makes the first client; nothing is called yet.
    pub(super) async fn open(connect: Connect, calls: Arc<Calls>) -> anyhow::Result<Self> {
        let client = connect().await?;
        Ok(Self { connect, current: Mutex::new(Current { client, renewed: None }), calls })
    }

    /// Sends a request and reads its answer, both within `wait`.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        target: Target,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        wait: Duration,
    ) -> Result<T, ApiError> {
        let text = self.text(target, request, wait).await?;
        serde_json::from_str(&text)
            .map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))
    }

    /// Sends a request whose answer does not matter beyond that it is a good one.
    pub(super) async fn text(
        &self,
        target: Target,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        wait: Duration,
    ) -> Result<String, ApiError> {
        let client = self.client();
        let request = request.map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))?;
        let outcome = tokio::time::timeout(wait, client.request_text(request)).await;
        self.judge(target, outcome).await
    }

    /// Counts a call and makes an error of its failure.
    pub(super) async fn judge<T>(
        &self,
        Target { verb, resource }: Target,
        outcome: Result<Result<T, kube::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, ApiError> {
        let outcome = match outcome {
            Ok(outcome) => outcome.map_err(|error| ApiError::of_client(verb, resource, &error)),
            Err(_) => Err(ApiError::too_late(verb, resource)),
        };
        self.calls.count(verb, resource, outcome.as_ref().map_or_else(|error| error.status, |_| 200));
        match outcome.as_ref().map_err(|error| error.kind) {
            Err(ApiErrorKind::Unauthorized) => self.renew(REFUSED_PAUSE).await,
            Err(ApiErrorKind::Unreachable) => self.renew(UNREACHED_PAUSE).await,
            _ => {}
        }
        outcome
    }

    /// The client of the moment.
    pub(super) fn client(&self) -> kube::Client {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).client.clone()
    }

    /// Reads kubeconfig or service account again, unless that was done within `pause`: token, certificate, the cluster's
    /// CA or its address may have changed.
    async fn renew(&self, pause: Duration) {
        let is_recent = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let is_recent = current.renewed.is_some_and(|renewed| renewed.elapsed() < pause);
            if !is_recent {
                current.renewed = Some(Instant::now());
            }
            is_recent
        };
        if is_recent {
            return;
        }
        match (self.connect)().await {
            Ok(client) => {
                self.current.lock().unwrap_or_else(PoisonError::into_inner).client = client;
                tracing::info!("the credentials for the API server were read again");
            }
            Err(error) => tracing::error!("the API server's credentials cannot be read again: {error:#}"),
        }
    }
}
