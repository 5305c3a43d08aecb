//! docs/multus-compatibility.md has a verdict for every row, and names only tests that exist.

use std::collections::HashSet;

use crate::table::{assert_exists, code, rows, tests};

#[test]
fn every_row_about_multus_has_a_verdict_and_what_is_covered_has_a_test() {
    let code = code();
    let mut seen = HashSet::new();
    for (number, cells) in rows("multus-compatibility.md", 'M') {
        let row = format!("M{number}");
        assert!(seen.insert(number), "{row} stands twice in docs/multus-compatibility.md");
        let [_, verdict, shown_by] = &*cells else { panic!("{row} has {} cells", cells.len() + 1) };
        let named = tests(shown_by);
        match &**verdict {
            "covered" => assert!(!named.is_empty(), "{row} is covered, and no test is named"),
            "changed" | "not covered" => {
                assert!(!shown_by.is_empty(), "{row} is {verdict}, and no reason is given");
            }
            other => panic!("{row}: {other:?} is no verdict"),
        }
        for name in named {
            assert_exists(&code, &row, name);
        }
    }
    // One number a row of the inventory, in hundreds by section.
    for (first, last) in [
        (101, 124),
        (131, 132),
        (141, 157),
        (161, 167),
        (201, 209),
        (221, 232),
        (241, 244),
        (301, 310),
        (321, 325),
        (401, 408),
        (501, 505),
        (601, 614),
        (701, 702),
    ] {
        for wanted in first..=last {
            assert!(seen.contains(&wanted), "M{wanted} has no row in docs/multus-compatibility.md");
        }
    }
}
