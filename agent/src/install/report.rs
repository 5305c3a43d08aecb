//! What an installation did, for people.

use std::io::Write as _;
use std::path::PathBuf;

/// What was done with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was not there.
    Installed,
    /// Another file of ours was there.
    Upgraded,
    /// It was there already.
    Unchanged,
    /// Somebody else's file was there; it is kept beside it.
    Replaced,
    /// Somebody else's file is there and stays.
    Left,
    /// Somebody else's file is back in its place.
    Restored,
    /// It is gone.
    Removed,
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Upgraded => "upgraded",
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
            Self::Left => "left",
            Self::Restored => "restored",
            Self::Removed => "removed",
        }
    }
}

/// One file and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was done.
    pub deed: Deed,
    /// The file.
    pub path: PathBuf,
    /// What else is worth knowing, or nothing.
    pub note: String,
}

impl Done {
    pub(super) fn new(deed: Deed, path: PathBuf, note: impl Into<String>) -> Self {
        Self { deed, path, note: note.into() }
    }
}

/// One line for each file, aligned.
pub fn print(done: &[Done]) -> std::io::Result<()> {
    let width = done.iter().map(|done| done.path.display().to_string().len()).max().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    for Done { deed, path, note } in done {
        let line = format!("{:<10} {:<width$}  {note}", deed.word(), path.display().to_string());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
