//! Executing a plugin on the agent's word.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use plexus_cni::name::{KEPT_ASIDE, SHIM_NAME, check_plugin_type};
use plexus_cni::wire::{ExecEnd, ExecOutcome, ExecRequest};

use crate::deadline::Deadline;
use crate::pipes::{self, PipesEnd, Said};

/// How often a plugin that is being replaced on disk is started again (C146).
const BUSY_TRIES_MAX: u32 = 50;
/// The pause between two of these, in milliseconds.
const BUSY_PAUSE_MS: u64 = 100;

/// Of a plugin that ran and whose end nobody saw.
const NO_STATUS: i32 = -1;

/// Executes the plugin, waiting `left_ms` at most; its standard error is repeated on ours (C149).
pub(crate) fn execute(request: &ExecRequest, left_ms: u64) -> ExecOutcome {
    let without_output = |end| ExecOutcome { end, stdout: String::new(), stderr: String::new() };
    let Some(program) = find(&request.plugin, &request.path) else {
        return without_output(ExecEnd::NotFound);
    };
    let deadline = Deadline::in_ms(request.deadline_ms.min(left_ms));
    let mut child = match start(&program, request, deadline) {
        Ok(child) => child,
        Err(error) => return without_output(ExecEnd::NotStarted(format!("{}: {error}", program.display()))),
    };
    let (end, said) = match pipes::run(&mut child, request.stdin.as_bytes(), deadline) {
        Ok((PipesEnd::Ended(status), said)) => (ended(status), said),
        Ok((PipesEnd::TimedOut, said)) => (ExecEnd::TimedOut, said),
        Ok((PipesEnd::TooMuchOutput, said)) => (ExecEnd::TooMuchOutput, said),
        // It ran: whatever it did, its DEL undoes.
        Err(error) => (
            ExecEnd::Exited(NO_STATUS),
            Said { stderr: format!("lost sight of it: {error}").into_bytes(), ..Said::default() },
        ),
    };
    if !matches!(end, ExecEnd::Exited(0..) | ExecEnd::Signaled(_)) {
        kill_group(&mut child);
    }
    // Nobody may be reading our standard error; that is no reason to fail.
    std::io::stderr().write_all(&said.stderr).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ExecOutcome { end, stdout: text(&said.stdout), stderr: text(&said.stderr) }
}

/// The first executable regular file of that name in the directories (C133) that is not this program under another
/// name: it would ask the agent, which waits for it. Where it took a plugin's name, that plugin was kept aside.
fn find(plugin: &str, directories: &[String]) -> Option<PathBuf> {
    check_plugin_type(plugin, "type").ok()?;
    let names = [plugin.to_owned(), format!("{plugin}{KEPT_ASIDE}")];
    let candidates = |directory| names.iter().map(move |name| Path::new(directory).join(name));
    directories.iter().flat_map(candidates).find(|candidate| {
        candidate.metadata().is_ok_and(|found| {
            found.is_file() && found.permissions().mode() & 0o111 != 0 && !is_shim(candidate, &found)
        })
    })
}

/// Whether the file is this program, or the one that an upgrade put in its place.
fn is_shim(path: &Path, found: &Metadata) -> bool {
    let is_same = |own: Metadata| (own.dev(), own.ino()) == (found.dev(), found.ino());
    std::fs::metadata("/proc/self/exe").is_ok_and(is_same)
        || path.canonicalize().is_ok_and(|target| target.file_name() == Some(OsStr::new(SHIM_NAME)))
}

/// Starts the plugin in a process group of its own.
fn start(program: &Path, request: &ExecRequest, deadline: Deadline) -> std::io::Result<Child> {
    let mut tries = 0;
    loop {
        tries += 1;
        let started = Command::new(program)
            // One program may serve many names, and the one kept aside has another.
            .arg0(program.with_file_name(&request.plugin))
            .envs(request.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        match started {
            Err(error) if error.raw_os_error() == Some(nix::Error::ETXTBSY as i32) => {
                if tries == BUSY_TRIES_MAX || !deadline.pause(BUSY_PAUSE_MS) {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

fn ended(status: ExitStatus) -> ExecEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExecEnd::Exited(code),
        (None, Some(signal)) => ExecEnd::Signaled(signal),
        (None, None) => ExecEnd::Exited(NO_STATUS),
    }
}

/// Kills the plugin and everything that it started (C145).
fn kill_group(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // The only error is that nobody is left to be killed.
        killpg(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
    }
    pipes::reap(child);
}
