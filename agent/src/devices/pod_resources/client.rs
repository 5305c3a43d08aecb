//! The connection to the kubelet.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::PodResourcesError;
use super::message::{ListPodResourcesRequest, ListPodResourcesResponse};

/// The method.
const LIST: &str = "/v1.PodResourcesLister/List";
/// Longest answer, in bytes; as Multus and the kubelet's own client have it.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// How long an answer may take, tries included.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// First pause after the kubelet refused a call because too many came; each further one is twice as long.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// A client that keeps its connection as long as the same socket stands at the path.
pub(super) struct Client {
    socket: PathBuf,
    kept: Option<Connection>,
}

struct Connection {
    /// Device and inode of the socket: a restarted kubelet makes a new one.
    identity: (u64, u64),
    channel: Channel,
}

impl Client {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), kept: None }
    }

    /// One `List`. A kept connection that fails is made anew once; a call that the kubelet's rate limit refused is
    /// repeated.
    pub(super) async fn list(&mut self) -> Result<ListPodResourcesResponse, PodResourcesError> {
        let deadline = Instant::now() + LIST_TIMEOUT;
        let mut pause = REFUSED_PAUSE;
        loop {
            let (channel, is_kept) = self.channel().await?;
            let Ok(outcome) = timeout_at(deadline, list(channel)).await else {
                self.kept = None;
                let limit_s = LIST_TIMEOUT.as_secs();
                return Err(
                    self.fails(format!("there was no answer within {limit_s} s; is the kubelet overloaded?"))
                );
            };
            let status = match outcome {
                Ok(response) => return Ok(response),
                Err(status) => status,
            };
            match status.code() {
                Code::ResourceExhausted if Instant::now() + pause < deadline => {
                    sleep(pause).await;
                    pause *= 2;
                }
                Code::ResourceExhausted | Code::OutOfRange | Code::Unimplemented => {
                    return Err(self.fails(explain(&status)));
                }
                _ => {
                    self.kept = None;
                    if !is_kept {
                        return Err(self.fails(explain(&status)));
                    }
                }
            }
        }
    }

    /// The connection, and whether it was there before.
    async fn channel(&mut self) -> Result<(Channel, bool), PodResourcesError> {
        let metadata =
            tokio::fs::metadata(&self.socket).await.map_err(|error| self.fails(error.to_string()))?;
        let identity = (metadata.dev(), metadata.ino());
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.identity == identity) {
            return Ok((kept.channel.clone(), true));
        }
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket.display()))
            .map_err(|error| self.fails(error.to_string()))?;
        let channel = timeout(CONNECT_TIMEOUT, endpoint.connect())
            .await
            .map_err(|_| self.fails("the connection was not accepted".into()))?
            .map_err(|error| self.fails(chain(&error)))?;
        self.kept = Some(Connection { identity, channel: channel.clone() });
        Ok((channel, false))
    }

    fn fails(&self, why: String) -> PodResourcesError {
        PodResourcesError { socket: self.socket.clone(), why }
    }
}

async fn list(channel: Channel) -> Result<ListPodResourcesResponse, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
    let codec = ProstCodec::default();
    let request = Request::new(ListPodResourcesRequest {});
    Ok(grpc.unary(request, PathAndQuery::from_static(LIST), codec).await?.into_inner())
}

fn explain(status: &Status) -> String {
    match status.code() {
        Code::OutOfRange => format!("its answer has more than {MESSAGE_BYTES_MAX} bytes"),
        Code::Unimplemented => {
            "it does not have version v1 of the service; it needs Kubernetes 1.20 or later".into()
        }
        code => format!("{code:?}: {}", status.message()),
    }
}

/// An error with its causes: the outermost one of a transport says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
