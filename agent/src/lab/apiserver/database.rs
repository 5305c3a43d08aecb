//! The API server's database, spoken to by its own HTTP interface.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::LabError;
use super::process::DATABASE;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(10);

/// Forgets everything before the present revision, as a cluster's database does every five minutes.
///
/// Source: etcd, api/etcdserverpb/rpc.proto: Range and Compact; the key is base64.
pub(super) fn compact() -> Result<(), LabError> {
    let range = ask("/v3/kv/range", &json!({"key": "AA==", "limit": 1}))?;
    let revision = &range["header"]["revision"];
    ask("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).map(drop)
}

/// Version 1.0, so that the server closes the connection behind its answer.
fn ask(path: &str, body: &Value) -> Result<Value, LabError> {
    let io = || LabError::io(format!("ask the database for {path}"));
    let body = body.to_string();
    let mut stream = TcpStream::connect(DATABASE).map_err(io())?;
    stream.set_read_timeout(Some(WAIT)).map_err(io())?;
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).map_err(io())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(io())?;
    let unexpected = |seen: String| LabError::Unexpected {
        what: format!("the database's answer to {path}"),
        expected: "200 and JSON".into(),
        seen,
    };
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        return Err(unexpected(answer));
    }
    serde_json::from_str(text).map_err(|error| unexpected(format!("{error} in {text}")))
}
