//! The conversation between the shim (or plexusctl) and the agent.
//!
//! ```text
//! shim  → agent   Call::Cni, and with its first byte the descriptors [netns, rtnetlink socket inside it]
//! agent → shim    Reply::Exec   (zero or more times: "run this binary")
//! shim  → agent   ExecOutcome
//! agent → shim    Reply::Sysctl (zero or more times, from shims that say that they serve it: "set this in the pod")
//! shim  → agent   SysctlOutcome
//! agent → shim    Reply::Done | Reply::Failed
//!
//! plexusctl → agent   Call::Follow
//! agent → plexusctl   Reply::Item, Reply::Frame (zero or more times, until plexusctl closes its side)
//! agent → plexusctl   Reply::Done | Reply::Failed
//! ```
//! A frame is its length as four bytes, big endian, and that many bytes of JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::Command;
use crate::error::{CniError, Code};
use crate::limits::FRAME_BYTES_MAX;
use crate::sysctl::SysctlRequest;

/// The version of this conversation; an agent refuses another one.
pub const WIRE_VERSION: u32 = 1;
/// Bytes of a frame's length.
pub const HEADER_BYTES: usize = 4;

/// The first frame of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// A container runtime's call.
    Cni(CniCall),
    /// A person's question.
    Query(Query),
    /// Something that a person wants to see as it happens.
    Follow(Follow),
}

/// A container runtime's call, as the shim read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CniCall {
    /// [`WIRE_VERSION`]
    pub wire_version: u32,
    /// The shim serves [`Reply::Sysctl`]; one that is older does not say so.
    #[serde(default)]
    pub serves_sysctls: bool,
    /// The verb.
    pub command: Command,
    /// `CNI_CONTAINERID`
    pub container_id: String,
    /// `CNI_NETNS` as passed.
    pub netns: Option<String>,
    /// `CNI_IFNAME`
    pub ifname: String,
    /// `CNI_ARGS`
    pub args: String,
    /// `CNI_PATH`, split.
    pub path: Vec<String>,
    /// The config from stdin, byte for byte.
    pub config: String,
}

/// A question of plexusctl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Query {
    /// The agent itself.
    Status,
    /// Pods with their interfaces.
    Pods,
    /// Ports of the data plane.
    Ports,
    /// Packets and bytes of every port.
    Counters,
    /// Known networks.
    Networks,
    /// Routes of the data plane.
    Routes {
        /// The pod whose routes are wanted, `namespace/name` or `name`; else those of all.
        pod: Option<String>,
    },
    /// Pools of addresses.
    Ipam {
        /// The one whose holders are wanted too: a name, a network or a range.
        pool: Option<String>,
    },
    /// Everything about one pod, `namespace/name` or `name`.
    Explain {
        /// The pod.
        pod: String,
    },
}

/// What plexusctl follows, until it closes its side of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Follow {
    /// Samples of drops, as [`Reply::Item`].
    Drops {
        /// Of this pod only, `namespace/name` or `name`.
        pod: Option<String>,
    },
    /// What an interface sends and receives: one [`Reply::Item`] about it, then [`Reply::Frame`].
    Capture(CaptureCall),
}

/// What to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureCall {
    /// `namespace/name`, `name` or a container id.
    pub pod: String,
    /// The interface in the pod.
    pub ifname: String,
    /// Which frames; all without.
    pub filter: Option<String>,
    /// Bytes of each frame that are wanted.
    pub bytes_wanted: u32,
}

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapturedFrame {
    /// When, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// The pod sent it; otherwise it goes to the pod.
    pub is_from_pod: bool,
    /// Why it was dropped; nothing if it went on.
    pub reason: Option<String>,
    /// Bytes of the whole frame.
    pub frame_bytes: u32,
    /// Its first bytes, in base64.
    pub bytes: String,
}

/// A frame from the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Execute a plugin and send its outcome.
    Exec(ExecRequest),
    /// Read and write sysctls in the namespace of the call, and send what became of it.
    Sysctl(SysctlRequest),
    /// One of many that a follower gets.
    Item(Value),
    /// A captured frame.
    Frame(CapturedFrame),
    /// The call succeeded; for ADD the result, for a query the answer, else null.
    Done(Value),
    /// The call failed.
    Failed(CniError),
}

/// A plugin that the shim shall execute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecRequest {
    /// The plugin's plain name.
    pub plugin: String,
    /// Directories to look in, in order.
    pub path: Vec<String>,
    /// `CNI_*` variables; everything else is inherited from the shim.
    pub env: Vec<(String, String)>,
    /// What it reads.
    pub stdin: String,
    /// After this its process group is killed, in milliseconds.
    pub deadline_ms: u64,
}

/// How an executed plugin ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecOutcome {
    /// How it ended.
    pub end: ExecEnd,
    /// What it printed, at most [`crate::limits::DELEGATE_STDOUT_BYTES_MAX`] bytes; invalid UTF-8 is replaced.
    pub stdout: String,
    /// What it said on standard error, cut to [`crate::limits::DELEGATE_STDERR_BYTES_MAX`] bytes.
    pub stderr: String,
}

/// How an executed plugin ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecEnd {
    /// It exited with this status.
    Exited(i32),
    /// It died by this signal.
    Signaled(i32),
    /// It was killed at its deadline.
    TimedOut,
    /// It was killed because it printed more than allowed.
    TooMuchOutput,
    /// No executable regular file of that name is in the path.
    NotFound,
    /// It could not be started; the reason.
    NotStarted(String),
}

/// A message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CniError> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, message)
        .map_err(|error| CniError::new(Code::Internal, "cannot encode a frame").because(error.to_string()))?;
    let length =
        u32::try_from(frame.len() - HEADER_BYTES).ok().filter(|length| *length as usize <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| {
        CniError::new(Code::Internal, format!("a frame of {} bytes is over {FRAME_BYTES_MAX}", frame.len()))
    })?;
    frame[..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The length that a frame's header announces, in bytes; zero and more than [`FRAME_BYTES_MAX`] are refused.
pub fn body_length(header: [u8; HEADER_BYTES]) -> Result<usize, CniError> {
    let length = u32::from_be_bytes(header) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(CniError::new(Code::Decoding, format!("a frame announces {length} bytes"))
            .because(format!("1 to {FRAME_BYTES_MAX} are allowed")));
    }
    Ok(length)
}

/// A frame's body as a message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, CniError> {
    serde_json::from_slice(body).map_err(|error| {
        CniError::new(Code::Decoding, "a frame cannot be decoded").because(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_the_wire() {
        let reply = Reply::Done(serde_json::json!({"n": u64::MAX, "x": [1.5]}));
        let frame = encode(&reply).unwrap();
        let length = body_length(frame[..HEADER_BYTES].try_into().unwrap()).unwrap();
        assert_eq!(length, frame.len() - HEADER_BYTES);
        assert_eq!(decode::<Reply>(&frame[HEADER_BYTES..]).unwrap(), reply);
    }

    #[test]
    fn a_call_of_a_shim_that_knows_no_sysctls_is_understood() {
        let old =
            br#"{"wireVersion":1,"command":"DEL","containerId":"c","netns":null,"ifname":"eth0","args":"",
            "path":[],"config":"{}"}"#;
        assert!(!decode::<CniCall>(old).unwrap().serves_sysctls);
    }

    #[test]
    fn an_oversized_or_empty_frame_is_refused_by_its_header() {
        assert!(body_length([0; 4]).is_err());
        assert!(body_length([0xff; 4]).is_err());
    }
}
