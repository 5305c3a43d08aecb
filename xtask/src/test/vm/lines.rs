//! What a guest says of its tests: one JSON object per line, appended as it goes.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::test::report::Outcome;

/// The list of tests in the shared directory, an array.
pub(super) const CASES: &str = "cases.json";
/// The lines, beside it.
const RESULTS: &str = "results.jsonl";

/// A step of the run. Cases are numbers into the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A test begins.
    Started {
        /// Which one.
        case: usize,
    },
    /// It ended, or was ended.
    Ended {
        /// Which one.
        case: usize,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// The guest's end.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Goes on behind what is there.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(RESULTS);
        let file = File::options().append(true).create(true).open(&path);
        Ok(Self { file: file.with_context(|| format!("cannot open {}", path.display()))?, path })
    }

    /// Appends a line, in one piece.
    pub(super) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line).context("cannot write a result")?;
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write to {}", self.path.display()))
    }
}

/// The outer end.
#[derive(Debug)]
pub(super) struct Progress {
    file: File,
    read: u64,
}

impl Progress {
    /// An empty file for a guest that is about to start.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let path = directory.join(RESULTS);
        let make = || {
            File::create(&path)?;
            File::open(&path)
        };
        Ok(Self { file: make().with_context(|| format!("cannot create {}", path.display()))?, read: 0 })
    }

    /// The lines that came since the last call; one that is not whole yet comes next time.
    pub(super) fn next_lines(&mut self) -> Result<Vec<Line>> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(self.read)).context("cannot read the guest's results")?;
        self.file.read_to_string(&mut text).context("cannot read the guest's results")?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += u64::try_from(whole)?;
        let parse = |line| serde_json::from_str(line).with_context(|| format!("the guest wrote `{line}`"));
        text[..whole].lines().map(parse).collect()
    }
}

/// The list of tests that the guest is to run.
pub(super) fn read_cases(directory: &Path) -> Result<Vec<crate::test::case::Case>> {
    let path = directory.join(CASES);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot understand {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_only_when_they_are_whole() {
        let directory = std::env::temp_dir().join(format!("plexus-lines-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut progress = Progress::new(&directory).unwrap();
        assert_eq!(progress.next_lines().unwrap(), []);

        let lines = [
            Line::Started { case: 3 },
            Line::Ended { case: 3, outcome: Outcome::Skipped("no \"card\"\nhere".into()) },
            Line::Ended { case: 4, outcome: Outcome::Passed },
        ];
        let mut writer = Writer::open(&directory).unwrap();
        writer.write(&lines[0]).unwrap();
        assert_eq!(progress.next_lines().unwrap(), lines[..1]);
        writer.write(&lines[1]).unwrap();
        writer.write(&lines[2]).unwrap();
        writer.file.write_all(b"{\"started\":").unwrap();
        assert_eq!(progress.next_lines().unwrap(), lines[1..]);
        writer.file.write_all(b"{\"case\":5}}\n").unwrap();
        assert_eq!(progress.next_lines().unwrap(), [Line::Started { case: 5 }]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
