//! Archives in the form that a kernel unpacks at boot: cpio "newc",
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const END: &str = "TRAILER!!!";

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds an executable file.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, PROGRAM, content)
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(END, 0, &[])?;
        Ok(self.bytes)
    }

    /// A magic number, 13 numbers of eight hexadecimal digits, name, content, both padded to four bytes.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is larger than 4 GiB"))?;
        let name_size = u32::try_from(path.len() + 1)?;
        // Inode, mode, owner, group, links, time, size, four numbers of devices, size of the name, checksum.
        let numbers = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for number in numbers {
            write!(header, "{number:08X}")?;
        }
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_say_how_long_they_are() {
        let mut archive = Archive::default();
        archive.directory("bin").unwrap();
        archive.program("init", b"#!/bin").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.len() % 4, 0);
        let second = text.find("070701000000020000").expect("the second entry has inode 2");
        assert_eq!(second % 4, 0);
        assert!(text[second..].starts_with("07070100000002000081ED"), "a file with mode 755: {text}");
        assert_eq!(&text[second + 54..second + 62], "00000006");
        assert!(text[second + 110..].starts_with("init\0"));
        assert!(text.contains(END));
    }
}
