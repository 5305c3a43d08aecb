//! The shim that the container runtime executes: it reads one CNI call, hands it to the agent and prints the answer.
//!
//! ```text
//! main → serve → call (environment, stdin) → verb → agent (socket) ⇄ plexusd
//!                                              │       └ delegate → pipes   (plugins that plexusd wants executed)
//!                                              │       └ sysctl             (of the pod, read and written for it)
//!                                              ├ netns (descriptors for the agent)
//!                                              └ spool (DEL while plexusd is away)
//! ```

mod agent;
mod call;
mod deadline;
mod delegate;
mod netns;
mod pipes;
mod serve;
mod spool;
mod stdin;
mod sysctl;
mod verb;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (text, code) = match serve::serve() {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(failure) => (Some(failure.error.to_json(failure.version)), ExitCode::FAILURE),
    };
    let Some(text) = text else { return code };
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
    {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
