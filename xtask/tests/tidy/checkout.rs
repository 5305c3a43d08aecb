//! The files of the checkout, as git lists them, and their text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Path below the checkout.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl SourceFile {
    /// Whether it lies in one of `folders`.
    pub(crate) fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| Path::new(&self.path).starts_with(folder))
    }

    /// Line numbers, from 1, and what is code on them: comments and string literals are blanked.
    ///
    /// Works line by line, so it does not see that a literal spans lines; nobody writes code in those.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, String)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, code_of(line)))
    }
}

fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut in_string = false;
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' if in_string => drop(rest.next()),
            // The character literal of a quotation mark opens no string.
            '"' if code.ends_with('\'') && rest.peek() == Some(&'\'') => {}
            '"' => in_string = !in_string,
            '/' if !in_string && rest.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(character),
        }
    }
    code
}

/// Whether `word` stands in `code` as a whole identifier.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.split(|character: char| !character.is_alphanumeric() && character != '_').any(|found| found == word)
}

/// The checkout's top directory.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo and xtask both set it");
    Path::new(&manifest_dir).parent().expect("xtask/ lies in the checkout").to_path_buf()
}

/// Every text file that git tracks or would track; `None` (after saying so) where there is no git checkout.
pub(crate) fn files() -> Option<Vec<SourceFile>> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(listing) = listing else {
        println!("SKIPPED: git cannot list the checkout's files (no git, or no git checkout)");
        return None;
    };
    let listing = String::from_utf8(listing.stdout).expect("file names are UTF-8");
    let paths = listing.split_terminator('\0');
    // A file that git still lists may be deleted already, and a binary file has no text.
    let read = |path: &str| {
        let text = fs::read_to_string(root().join(path)).ok()?;
        Some(SourceFile { path: path.to_owned(), text })
    };
    Some(paths.filter_map(read).collect())
}

/// As [`files`], Rust only.
pub(crate) fn rust_files() -> Option<Vec<SourceFile>> {
    let mut files = files()?;
    files.retain(|file| Path::new(&file.path).extension().is_some_and(|extension| extension == "rs"));
    assert!(files.len() > 10, "the checkout seems to be empty: the style checks would check nothing");
    Some(files)
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(code_of(r#"let a = "x \" // y"; // z"#), "let a = ; ");
    assert_eq!(code_of("let q = '\"'; b"), "let q = ''; b");
}
