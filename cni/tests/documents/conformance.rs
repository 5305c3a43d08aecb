//! docs/conformance.md names every sentence once, and only tests that exist.

use crate::table::{assert_exists, code, rows, tests};

#[test]
fn every_sentence_has_one_row() {
    let numbers: Vec<u32> = rows("conformance.md", 'C').into_iter().map(|(number, _)| number).collect();
    for wanted in 1..=162 {
        let count = numbers.iter().filter(|number| **number == wanted).count();
        assert_eq!(count, 1, "C{wanted:03} has {count} rows in docs/conformance.md");
    }
}

#[test]
fn every_test_that_the_conformance_table_names_exists() {
    let code = code();
    for (number, cells) in rows("conformance.md", 'C') {
        let [_, shown_by] = &*cells else { panic!("C{number:03} has {} cells", cells.len() + 1) };
        assert!(!shown_by.is_empty(), "C{number:03} is neither tested nor explained");
        for name in tests(shown_by) {
            assert_exists(&code, &format!("C{number:03}"), name);
        }
    }
}
