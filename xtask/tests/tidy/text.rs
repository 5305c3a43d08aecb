//! What a file may not contain.

use crate::checkout::{SourceFile, files, has_word, rust_files};

/// The only folders with `unsafe` code.
const UNSAFE_FOLDERS: [&str; 3] = ["agent/src/datapath", "agent/src/sandbox", "ebpf"];

/// Longest file, in lines, and the files that may be longer, with the reason.
const LINES_MAX: usize = 500;
const LONG_FILES: [(&str, &str); 0] = [];

/// Longest `main`, in lines.
const MAIN_LINES_MAX: usize = 40;

/// Reports every offence at once.
fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

/// `path:line: code` for each line of code on which `is_offence` holds.
fn offences(file: &SourceFile, is_offence: impl Fn(&str) -> bool) -> Vec<String> {
    file.code_lines()
        .filter(|(_, code)| is_offence(code))
        .map(|(line, code)| format!("{}:{line}: {}", file.path, code.trim()))
        .collect()
}

#[test]
fn unsafe_code_stays_in_its_folders() {
    let Some(files) = rust_files() else { return };
    let lifts_the_ban = |code: &str| has_word(code, "unsafe_code") && !code.contains("forbid");
    let found: Vec<_> = files
        .iter()
        .filter(|file| !file.is_below(&UNSAFE_FOLDERS))
        .flat_map(|file| offences(file, |code| has_word(code, "unsafe") || lifts_the_ban(code)))
        .collect();
    assert_none(&found, &format!("unsafe code outside {}", UNSAFE_FOLDERS.join(", ")));
}

#[test]
fn nothing_is_left_open() {
    let Some(files) = rust_files() else { return };
    // Taken apart, so that this file does not offend.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let macros = [concat!("to", "do!("), concat!("unimplemented", "!("), concat!("db", "g!(")];
    let mut found = Vec::new();
    for file in &files {
        found.extend(offences(file, |code| macros.iter().any(|name| code.contains(name))));
        for (index, line) in file.text.lines().enumerate() {
            if words.iter().any(|word| has_word(line, word)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "notes of work left open, and macros that stand for it");
}

#[test]
fn a_long_file_has_a_listed_reason() {
    let Some(files) = rust_files() else { return };
    let is_listed = |path: &str| LONG_FILES.iter().any(|(listed, _)| *listed == path);
    let long: Vec<_> = files.iter().filter(|file| file.text.lines().count() > LINES_MAX).collect();
    let unlisted: Vec<_> =
        long.iter().map(|file| file.path.clone()).filter(|path| !is_listed(path)).collect();
    assert_none(&unlisted, &format!("files over {LINES_MAX} lines; each file is one noun or one verb"));
    let stale: Vec<_> = LONG_FILES
        .iter()
        .filter(|(listed, _)| !long.iter().any(|file| file.path == *listed))
        .map(|(listed, _)| (*listed).to_owned())
        .collect();
    assert_none(&stale, "listed as long, but short or gone");
}

#[test]
fn main_functions_are_short() {
    let Some(files) = rust_files() else { return };
    let mut found = Vec::new();
    for file in &files {
        let mut lines =
            file.text.lines().skip_while(|line| !has_word(line, "main") || !line.contains("fn main("));
        let length = lines.by_ref().position(|line| line == "}").map_or(0, |last| last + 1);
        if length > MAIN_LINES_MAX {
            found.push(format!("{}: {length} lines", file.path));
        }
    }
    assert_none(&found, &format!("main functions over {MAIN_LINES_MAX} lines"));
}

#[test]
fn every_file_says_first_what_it_is() {
    let Some(files) = rust_files() else { return };
    // `tests.rs` beside a module says it by its name.
    let is_silent = |file: &&SourceFile| !file.text.starts_with("//!") && !file.path.ends_with("/tests.rs");
    let found: Vec<_> = files.iter().filter(is_silent).map(|file| file.path.clone()).collect();
    assert_none(&found, "Rust files that do not begin with a //! line");
}

#[test]
fn no_path_of_a_persons_machine_is_committed() {
    let Some(files) = files() else { return };
    let paths = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let mut found = Vec::new();
    for file in &files {
        for (index, line) in file.text.lines().enumerate() {
            if paths.iter().any(|path| line.contains(path)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "paths that exist on one machine only");
}
