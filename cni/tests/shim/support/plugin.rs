//! Plugins as shell scripts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use plexus_cni::wire::ExecRequest;
use tempfile::TempDir;

/// A plugin directory.
pub(crate) struct Plugins(TempDir);

impl Plugins {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Adds an executable script.
    pub(crate) fn add(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        make_executable(&path);
        path
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A request to execute the plugin `name`.
    pub(crate) fn request(&self, name: &str, stdin: &str) -> ExecRequest {
        ExecRequest {
            plugin: name.into(),
            path: vec![self.path().display().to_string()],
            env: vec![("CNI_COMMAND".into(), "ADD".into()), ("CNI_IFNAME".into(), "net1".into())],
            stdin: stdin.into(),
            deadline_ms: 50_000,
        }
    }
}

/// Lets everybody execute the file.
pub(crate) fn make_executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
