//! The explained differences and their document are the same.

use std::fs;
use std::path::Path;

use crate::reference::document;
use crate::reference::table::{Ground, TABLES};

/// Set to write the table into the document.
const WRITE_VARIABLE: &str = "PLEXUS_WRITE_DOCS";
/// What follows this line is the table.
const MARK: &str = "<!-- The rest is written by its test. -->\n\n";

#[test]
fn every_explained_difference_stands_in_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences-from-plugins.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, table) = text.split_once(MARK).unwrap();
    let expected = document::differences();
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        fs::write(&path, format!("{head}{MARK}{expected}")).unwrap();
    } else {
        assert!(
            table == expected,
            "docs/differences-from-plugins.md is not the table of agent/tests/reference; run the test with {WRITE_VARIABLE}=1"
        );
    }
}

#[test]
fn every_table_is_compared_by_a_test() {
    for table in TABLES {
        let tests = match table.ground {
            Ground::Namespaces => "netns_reference",
            Ground::Vm => "vm_reference",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(tests).join("main.rs");
        let text = fs::read_to_string(path).unwrap();
        assert!(
            text.contains(&format!("compare({:?}", table.plugin)),
            "{tests} does not compare {}",
            table.plugin
        );
    }
}
