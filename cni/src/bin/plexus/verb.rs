//! What each verb does when the agent is there, and when it is not.

use std::os::fd::{AsFd, OwnedFd};

use serde_json::Value;

use plexus_cni::env::Command;
use plexus_cni::limits::{AGENT_WAIT_MS, REQUEST_DEADLINE_MS};
use plexus_cni::wire::{Call, Reply};
use plexus_cni::{CniError, Code};

use crate::agent::{Agent, AgentError};
use crate::call::ShimCall;
use crate::deadline::Deadline;
use crate::netns::open_netns;
use crate::{delegate, spool, sysctl};

/// STATUS is answered within a second (C107), in milliseconds.
const STATUS_DEADLINE_MS: u64 = 900;
/// How long a DEL waits in the queue of a busy agent, in milliseconds.
const DEL_CONNECT_MS: u64 = 10_000;
/// The pause before the agent is looked for again, in milliseconds.
const RETRY_PAUSE_MS: u64 = 25;
/// Times that one call may have something done by us; more than any chain of any pod needs.
const EXECS_MAX: usize = 8192;

/// Performs the call; what it returns goes to stdout.
pub(crate) fn perform(call: &ShimCall) -> Result<Option<String>, CniError> {
    let done = match call.call.command {
        Command::Add | Command::Check => attach(call),
        Command::Del => detach(call),
        Command::Status => ask_once(call, STATUS_DEADLINE_MS, Code::Unavailable),
        Command::Gc | Command::Version => ask_once(call, REQUEST_DEADLINE_MS, Code::TryAgain),
    };
    match (call.call.command, done.map_err(|error| call.within_subject(error))?) {
        (Command::Add, result @ Value::Object(_)) => Ok(Some(result.to_string())),
        (Command::Add, _) => Err(CniError::new(Code::Internal, "plexusd answered ADD without a result")
            .because("shim and plexusd may be of different versions; install both from one release")),
        _ => Ok(None),
    }
}

/// ADD and CHECK: an agent that is restarting gets a moment.
fn attach(call: &ShimCall) -> Result<Value, CniError> {
    let path = call.call.netns.as_deref().unwrap_or_default();
    let netns = open_netns(path, own_netns_is_allowed()).map_err(|error| error.explain(path))?;
    let deadline = Deadline::in_ms(REQUEST_DEADLINE_MS);
    let patience = Deadline::in_ms(AGENT_WAIT_MS);
    loop {
        match converse(call, &netns, patience.left_ms(), deadline) {
            Err(Trouble::Agent(error)) if error.may_pass() && patience.pause(RETRY_PAUSE_MS) => {}
            answer => return answer.map_err(|trouble| trouble.explain(call, Code::TryAgain)),
        }
    }
}

/// DEL: what the agent cannot take is kept for it, and the runtime is told that all is well.
fn detach(call: &ShimCall) -> Result<Value, CniError> {
    let netns = match call.call.netns.as_deref().map(|path| (path, open_netns(path, own_netns_is_allowed())))
    {
        None => Vec::new(),
        Some((_, Ok(fds))) => Vec::from(fds),
        Some((_, Err(error))) if error.is_absence() => Vec::new(),
        Some((path, Err(error))) => return Err(error.explain(path)),
    };
    let deadline = Deadline::in_ms(REQUEST_DEADLINE_MS);
    let trouble = match converse(call, &netns, DEL_CONNECT_MS, deadline) {
        Ok(done) => return Ok(done),
        Err(Trouble::Failed(error)) if error.code != Code::TryAgain => return Err(error),
        Err(trouble) => trouble,
    };
    let spooled = spool::write(call)?;
    // An agent that started meanwhile has read its spool already: it must hear of this DEL now.
    if matches!(trouble, Trouble::Agent(_)) && converse(call, &netns, 0, deadline).is_ok() {
        spooled.remove();
    }
    Ok(Value::Null)
}

fn ask_once(call: &ShimCall, deadline_ms: u64, absent: Code) -> Result<Value, CniError> {
    converse(call, &[], deadline_ms, Deadline::in_ms(deadline_ms))
        .map_err(|trouble| trouble.explain(call, absent))
}

/// Why a conversation gave no result.
enum Trouble {
    /// The agent is not there or went away before it said anything.
    Agent(AgentError),
    /// It went away after it had something done.
    Midway(AgentError),
    /// It refused.
    Failed(CniError),
}

impl Trouble {
    fn explain(self, call: &ShimCall, absent: Code) -> CniError {
        match self {
            Self::Agent(error) | Self::Midway(error) => error.explain(&call.socket, absent),
            Self::Failed(error) => error,
        }
    }
}

/// One conversation: the call, what the agent wants done on the host or in the pod, the result.
fn converse(call: &ShimCall, fds: &[OwnedFd], connect_ms: u64, deadline: Deadline) -> Result<Value, Trouble> {
    let mut agent = Agent::connect(&call.socket, connect_ms, deadline).map_err(Trouble::Agent)?;
    agent.send_call(&Call::Cni(call.call.clone()), fds).map_err(Trouble::Agent)?;
    let mut trouble: fn(AgentError) -> Trouble = Trouble::Agent;
    for _ in 0..EXECS_MAX {
        match agent.receive().map_err(trouble)? {
            Reply::Done(result) => return Ok(result),
            Reply::Failed(error) => return Err(Trouble::Failed(error)),
            Reply::Exec(request) => {
                trouble = Trouble::Midway;
                let outcome = delegate::execute(&request, agent.left_ms());
                agent.send_outcome(&outcome).map_err(trouble)?;
            }
            Reply::Sysctl(request) => {
                trouble = Trouble::Midway;
                let outcome = sysctl::work(&request, fds.first().map(AsFd::as_fd));
                agent.send_outcome(&outcome).map_err(trouble)?;
            }
            Reply::Item(_) | Reply::Frame(_) => {
                let what = "plexusd answered a runtime's call as if it were plexusctl's";
                return Err(Trouble::Failed(CniError::new(Code::Internal, what)));
            }
        }
    }
    Err(Trouble::Failed(CniError::new(
        Code::Internal,
        format!("plexusd wants more than {EXECS_MAX} things done by the shim"),
    )))
}

/// `CNI_NETNS_OVERRIDE`: the container's namespace may be the plugin's own (C060).
fn own_netns_is_allowed() -> bool {
    std::env::var("CNI_NETNS_OVERRIDE").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use plexus_cni::env::Environment;
    use plexus_cni::stdin::StdinConfig;

    use super::*;

    /// A call to an agent that listens and never says anything.
    fn stalled(command: &str) -> (ShimCall, UnixListener, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let listener = UnixListener::bind(at("sock")).unwrap();
        let environment = Environment::read(|key| match key {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" | "CNI_IFNAME" | "CNI_NETNS" => Some("x".to_owned()),
            _ => None,
        })
        .unwrap();
        let text = br#"{"cniVersion":"1.1.0","name":"n","type":"plexus"}"#;
        let config = StdinConfig::parse(text, environment.command).unwrap();
        let call = ShimCall::new(environment, config, |key| match key {
            "PLEXUS_SOCKET" => Some(at("sock")),
            _ => Some(at("state")),
        })
        .unwrap();
        (call, listener, directory)
    }

    #[test]
    fn c034_an_agent_that_stalls_ends_in_code_11_at_the_deadline() {
        let (call, _listener, _directory) = stalled("ADD");
        let trouble = converse(&call, &[], 50, Deadline::in_ms(50)).err().unwrap();
        assert!(matches!(&trouble, Trouble::Agent(AgentError::TimedOut)));
        assert_eq!(trouble.explain(&call, Code::TryAgain).code, Code::TryAgain);
    }

    #[test]
    fn c034_an_agent_whose_queue_is_full_ends_in_code_11_too() {
        let (call, _listener, _directory) = stalled("ADD");
        // Nobody accepts: at some point connecting itself has to wait.
        let held: Vec<_> =
            (0..5_000).map_while(|_| Agent::connect(&call.socket, 1, Deadline::in_ms(50)).ok()).collect();
        assert!(held.len() < 5_000, "the backlog has no end");
        let trouble = converse(&call, &[], 10, Deadline::in_ms(50)).err().unwrap();
        assert_eq!(trouble.explain(&call, Code::TryAgain).code, Code::TryAgain);
    }
}
