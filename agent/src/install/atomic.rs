//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Extension of a file that is being written; runtimes read `.conf`, `.conflist` and `.json` only, and hidden besides.
const DRAFT: &str = "plexus-draft";

/// A file beside `path` that nobody reads, on the same file system.
pub(super) fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{DRAFT}"))
}

/// Writes `content` to the draft of `path`, down to the disk.
pub(super) fn write_draft(path: &Path, content: &mut impl Read, mode: u32) -> io::Result<PathBuf> {
    let draft = draft(path);
    remove(&draft)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    io::copy(content, &mut file)?;
    file.flush()?;
    // The umask may have taken bits away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    Ok(draft)
}

/// Puts a draft in its place, durably.
pub(super) fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    sync_dir(path)
}

/// Replaces `path` by a file with this text.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = write_draft(path, &mut text.as_bytes(), mode)?;
    publish(&draft, path)
}

/// Replaces `path` by a symbolic link.
pub(super) fn link(target: &str, path: &Path) -> io::Result<()> {
    let draft = draft(path);
    remove(&draft)?;
    symlink(target, &draft)?;
    publish(&draft, path)
}

/// Gives what is at `path` the name `aside` as well; it stays where it is.
pub(super) fn keep_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let draft = draft(aside);
    remove(&draft)?;
    if fs::hard_link(path, &draft).is_err() {
        // A file system without hard links.
        let mode = fs::metadata(path)?.permissions().mode();
        write_draft(aside, &mut File::open(path)?, mode)?;
    }
    publish(&draft, aside)
}

/// Removes a file; one that is gone is a success.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_reader_never_sees_an_empty_or_half_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00-plexus.conflist");
        let texts = ["a", "b"].map(|letter| letter.repeat(1 << 16));
        write(&path, &texts[0], 0o600).unwrap();
        let (path, texts, done) = (&path, &texts, &AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let seen = fs::read_to_string(path).unwrap();
                    assert!(texts.contains(&seen), "saw {} bytes", seen.len());
                }
            });
            for round in 0..200 {
                write(path, &texts[round % 2], 0o600).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_of_a_crash_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(draft(&path), "half").unwrap();
        write(&path, "whole", 0o755).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!draft(&path).exists());
    }
}
