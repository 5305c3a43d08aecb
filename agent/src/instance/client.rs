//! Questions to the service: a session token, then plain texts, over one connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{self, Interface};
use super::error::InstanceError;

/// Where a session begins (IMDSv2).
const TOKEN: &str = "/latest/api/token";
/// The session's length, in seconds: longer than our questions take.
const TOKEN_SECONDS: &str = "60";
/// Where the interfaces are.
const MACS: &str = "/latest/meta-data/network/interfaces/macs/";
/// How long all questions together may take: a worker waits meanwhile.
const DEADLINE: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// Plain HTTP, unless the address says another port.
const PORT: u16 = 80;

/// The instance's interfaces; blocks.
pub(super) fn interfaces(base: &Uri) -> Result<Vec<Interface>, InstanceError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| InstanceError::Connection(base.to_string(), error.to_string()))?;
    let answer = runtime.block_on(async {
        let asked = tokio::time::timeout(DEADLINE, ask(base)).await;
        asked.unwrap_or_else(|_| Err(InstanceError::Deadline(base.to_string(), DEADLINE.as_millis())))
    });
    // Looking up a name may hang in a thread of the runtime's, which nobody waits for.
    runtime.shutdown_background();
    answer
}

async fn ask(base: &Uri) -> Result<Vec<Interface>, InstanceError> {
    let mut session = Session::open(base).await?;
    let mut interfaces = Vec::new();
    for mac in answer::macs(MACS, &session.get(MACS).await?)? {
        let folder = format!("{MACS}{}/", mac.map(|byte| format!("{byte:02x}")).join(":"));
        let (number, name) = (format!("{folder}device-number"), format!("{folder}interface-id"));
        interfaces.push(Interface {
            mac,
            device_index: answer::device_index(&number, &session.get(&number).await?)?,
            eni: answer::eni(&name, &session.get(&name).await?)?,
        });
    }
    Ok(interfaces)
}

/// A connection with a token.
struct Session {
    sender: SendRequest<Empty<Bytes>>,
    base: Uri,
    host: String,
    token: String,
}

impl Session {
    async fn open(base: &Uri) -> Result<Self, InstanceError> {
        let host = base.host().filter(|_| base.scheme_str() == Some("http"));
        let host = host.ok_or_else(|| InstanceError::Address(base.to_string()))?.to_owned();
        let broken =
            |error: &dyn std::fmt::Display| InstanceError::Connection(base.to_string(), error.to_string());
        let address = (host.trim_matches(['[', ']']), base.port_u16().unwrap_or(PORT));
        let stream = TcpStream::connect(address).await.map_err(|error| broken(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // It ends with the sender; what went wrong on it comes back with a request.
        drop(tokio::spawn(connection));
        let mut session = Self { sender, base: base.clone(), host, token: String::new() };
        let header = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS.to_owned());
        session.token = session.send(Method::PUT, TOKEN, header).await?;
        Ok(session)
    }

    async fn get(&mut self, path: &str) -> Result<String, InstanceError> {
        let header = ("x-aws-ec2-metadata-token", self.token.clone());
        self.send(Method::GET, path, header).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        (name, value): (&str, String),
    ) -> Result<String, InstanceError> {
        let broken = |error: &dyn std::fmt::Display| {
            InstanceError::Connection(format!("{}{}", self.host, path), error.to_string())
        };
        let host = self.base.authority().map_or(&*self.host, |authority| authority.as_str());
        let request = Request::builder().method(method).uri(path).header("host", host).header(name, value);
        let request = request.body(Empty::new()).map_err(|error| broken(&error))?;
        self.sender.ready().await.map_err(|error| broken(&error))?;
        let response = self.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(InstanceError::Status { path: path.to_owned(), status: status.as_u16() });
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let bytes = body.map_err(|error| broken(&error))?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
