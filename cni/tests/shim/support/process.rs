//! The shim as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// After this a shim counts as hanging, and the test fails.
const HANG: Duration = Duration::from_mins(1);

/// How a shim ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: Vec<u8>,
}

impl Ended {
    /// The error object, after checking that it is all there is on stdout and that the exit status says failure.
    pub(crate) fn error(&self) -> Value {
        assert!(!self.status.success(), "a failure was expected: {}", self.stdout);
        let error: Value = serde_json::from_str(&self.stdout).expect("stdout holds one JSON object");
        assert!(error["cniVersion"].is_string() && error["msg"].is_string(), "{error}");
        error
    }

    /// The error's code.
    pub(crate) fn code(&self) -> u64 {
        self.error()["code"].as_u64().expect("a code is a number")
    }

    /// The error's message and details.
    pub(crate) fn message(&self) -> String {
        let error = self.error();
        format!("{} {}", error["msg"].as_str().unwrap(), error["details"].as_str().unwrap_or_default())
    }

    /// Checks for success, and gives what was printed.
    pub(crate) fn success(&self) -> &str {
        assert!(self.status.success(), "{}", self.stdout);
        &self.stdout
    }
}

/// A shim about to be run, with a directory of its own for its socket and state.
pub(crate) struct Shim {
    command: Command,
    directory: TempDir,
}

impl Shim {
    /// A shim for `command`, with the variables that every verb accepts.
    pub(crate) fn new(command: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_plexus"));
        let variables = std::env::vars_os().map(|(key, _)| key);
        for key in variables.filter(|key| key.to_string_lossy().starts_with("CNI_")) {
            process.env_remove(key);
        }
        process
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", "cid-1")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/nowhere")
            .env("PLEXUS_SOCKET", directory.path().join("plexus.sock"))
            .env("PLEXUS_STATE_DIR", directory.path().join("state"));
        Self { command: process, directory }
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    pub(crate) fn arg(mut self, text: &str) -> Self {
        self.command.arg(text);
        self
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("plexus.sock")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The calls in the spool.
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.state_dir().join("spool")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Runs it with this text on stdin.
    pub(crate) fn run(&mut self, stdin: impl AsRef<[u8]>) -> Ended {
        let mut child = self.spawn(Stdio::piped());
        let mut pipe = child.stdin.take().unwrap();
        let text = stdin.as_ref().to_owned();
        // A shim that has read enough closes the pipe; what is left over is nobody's.
        let writer = thread::spawn(move || drop(pipe.write_all(&text)));
        let ended = wait(child);
        writer.join().unwrap();
        ended
    }

    /// Runs it from a shell with this redirection, which can do what a library cannot.
    pub(crate) fn through_shell(command: &str, redirection: &str) -> Ended {
        let mut shim = Self::new(command);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec {} {redirection}", env!("CARGO_BIN_EXE_plexus")));
        shell.env_clear().envs(shim.command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shim.command = shell;
        shim.run_with(Stdio::null())
    }

    /// Runs it with this file as stdin.
    pub(crate) fn run_with(&mut self, stdin: impl Into<Stdio>) -> Ended {
        wait(self.spawn(stdin.into()))
    }

    fn spawn(&mut self, stdin: Stdio) -> Child {
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Waits for the end, reading everything; ends a process that hangs and fails.
fn wait(mut child: Child) -> Ended {
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > HANG {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the shim hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ended {
        status,
        stdout: String::from_utf8(stdout.join().unwrap()).unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A file with this text: a stdin that is there before the process starts.
pub(crate) fn file_with(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}
