//! Reads tables of docs/, and the names of all tests.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of every row of a document whose first cell is `prefix` and a number; the number comes first.
pub(crate) fn rows(document: &str, prefix: char) -> Vec<(u32, Vec<String>)> {
    let text = fs::read_to_string(workspace().join("docs").join(document)).unwrap();
    let cells = text.lines().map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    cells
        .filter_map(|cells| {
            let number = cells[0].strip_prefix("| ")?.strip_prefix(prefix)?.parse().ok()?;
            let rest = cells[1..].iter().map(|cell| cell.trim_end_matches(" |").to_owned());
            Some((number, rest.collect()))
        })
        .collect()
}

/// The text of every Rust file of the crates with tests.
pub(crate) fn code() -> String {
    let mut code = String::new();
    for directory in ["cni/src", "cni/tests", "agent/src", "agent/tests", "deploy/check", "xtask/src"] {
        sources(&workspace().join(directory), &mut code);
    }
    code
}

fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Names of tests in a cell: what stands between backticks and is an identifier of more than two words.
pub(crate) fn tests(cell: &str) -> Vec<&str> {
    let is_test = |name: &&str| {
        name.matches('_').count() >= 2
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    cell.split('`').skip(1).step_by(2).filter(is_test).collect()
}

/// Fails unless `code` has a test of this name.
pub(crate) fn assert_exists(code: &str, row: &str, name: &str) {
    assert!(code.contains(&format!("fn {name}(")), "{row}: there is no test {name}");
}
