//! Where the binaries under test are.

use std::path::{Path, PathBuf};

use super::LabError;

/// Where `cargo xtask build` leaves them, beneath the workspace.
const DEFAULT_DIR: &str = "target/plexus/bin";
/// Tests run in their crate's directory, one below the workspace.
const ANCESTORS_MAX: usize = 4;

/// The directory with `plexus`, `plexusd` and `plexusctl`.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The directory `PLEXUS_BIN_DIR`, else `target/plexus/bin` of the workspace.
    pub fn find() -> Result<Self, LabError> {
        if let Some(dir) = std::env::var_os("PLEXUS_BIN_DIR") {
            return Self::at(Path::new(&dir));
        }
        let here = std::env::current_dir().map_err(LabError::io("read the working directory"))?;
        let found =
            here.ancestors().take(ANCESTORS_MAX).map(|dir| dir.join(DEFAULT_DIR)).find(|dir| dir.is_dir());
        Self::at(&found.unwrap_or_else(|| here.join(DEFAULT_DIR)))
    }

    /// This directory; it must have the three binaries.
    pub fn at(dir: &Path) -> Result<Self, LabError> {
        let dir = std::path::absolute(dir).map_err(LabError::io(format!("resolve {}", dir.display())))?;
        let missing = ["plexus", "plexusd", "plexusctl"].into_iter().find(|name| !dir.join(name).is_file());
        match missing {
            None => Ok(Self(dir)),
            Some(name) => Err(LabError::Unexpected {
                what: format!("{} is no build of Plexus (run `cargo xtask build`)", dir.display()),
                expected: format!("the binary {name}"),
                seen: "none".into(),
            }),
        }
    }

    /// The directory, absolute.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The shim.
    pub fn shim(&self) -> PathBuf {
        self.0.join("plexus")
    }

    /// The node agent.
    pub fn plexusd(&self) -> PathBuf {
        self.0.join("plexusd")
    }

    /// The people's tool.
    pub fn plexusctl(&self) -> PathBuf {
        self.0.join("plexusctl")
    }
}
