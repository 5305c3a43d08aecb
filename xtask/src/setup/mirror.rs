//! Which mirror of Debian's archive this machine reads.

use std::fs;
use std::path::{Path, PathBuf};

/// Where every release of Debian is, for machines that read another distribution's archive.
const DEFAULT: &str = "http://deb.debian.org/debian";
/// apt's configuration of sources.
const SOURCES: &str = "/etc/apt/sources.list";

/// The mirror of apt's own sources, which may be the only one that this machine reaches.
pub(super) fn mirror() -> String {
    let files = [PathBuf::from(SOURCES)].into_iter().chain(fragments(Path::new("/etc/apt/sources.list.d")));
    let mut texts = files.filter_map(|path| fs::read_to_string(path).ok());
    texts.find_map(|text| of_sources(&text)).unwrap_or_else(|| DEFAULT.to_owned())
}

/// Files of the directory, in apt's order.
fn fragments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_read = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_read).collect();
    paths.sort();
    paths
}

/// The first address of Debian's archive in a file of either form, sources.list(5).
fn of_sources(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let addresses = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    let is_mirror = |word: &&str| {
        (word.starts_with("http://") || word.starts_with("https://")) && word.ends_with("/debian")
    };
    addresses.filter(is_mirror).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_forms_of_sources() {
        let new = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(of_sources(new), Some("http://mirror.example/debian".into()));
        let old = "deb [signed-by=/k.gpg] https://mirror.example/debian bookworm main\n";
        assert_eq!(of_sources(old), Some("https://mirror.example/debian".into()));
    }

    #[test]
    fn other_archives_are_no_mirror() {
        let other =
            "deb http://archive.example/ubuntu noble main\nURIs: http://mirror.example/debian-security\n";
        assert_eq!(of_sources(other), None);
    }
}
