//! docs/conformance.md names every sentence once, and only tests that exist.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Number and last column of every row about a sentence.
fn rows() -> Vec<(u32, String)> {
    let document = fs::read_to_string(workspace().join("docs/conformance.md")).unwrap();
    let cells = document.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells.len() == 5);
    rows.filter_map(|cells| Some((cells[1].strip_prefix('C')?.parse().ok()?, cells[3].to_owned()))).collect()
}

/// The text of every Rust file beneath `directory`.
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

#[test]
fn every_sentence_for_a_plugin_has_one_row() {
    let numbers: Vec<u32> = rows().into_iter().map(|(number, _)| number).collect();
    for wanted in (1..=121).chain(159..=162) {
        let count = numbers.iter().filter(|number| **number == wanted).count();
        assert_eq!(count, 1, "C{wanted:03} has {count} rows in docs/conformance.md");
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut code = String::new();
    for crate_name in ["cni", "agent"] {
        for part in ["src", "tests"] {
            let directory = workspace().join(crate_name).join(part);
            if directory.is_dir() {
                sources(&directory, &mut code);
            }
        }
    }
    for (number, shown_by) in rows() {
        assert!(!shown_by.is_empty(), "C{number:03} is neither tested nor explained");
        // Every second piece stands between backticks.
        for name in shown_by.split('`').skip(1).step_by(2) {
            assert!(code.contains(&format!("fn {name}(")), "C{number:03}: there is no test {name}");
        }
    }
}
