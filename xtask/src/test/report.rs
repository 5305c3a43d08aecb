//! What came out: failures as they happen, then reasons of skips, a table and the closing count.

use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "why")]
pub(crate) enum Outcome {
    /// It ran and held.
    Passed,
    /// It ran and did not hold; why, and the end of its output.
    Failed(String),
    /// It could not run; why.
    Skipped(String),
}

/// The tests of one suite, counted.
#[derive(Debug)]
pub(crate) struct Row {
    suite: &'static str,
    passed: usize,
    failed: usize,
    skips: Vec<(String, String)>,
    seconds: f64,
}

impl Row {
    /// An empty suite.
    pub(crate) fn new(suite: &'static str) -> Self {
        Self { suite, passed: 0, failed: 0, skips: Vec::new(), seconds: 0.0 }
    }

    /// Counts one test; a failure is shown at once.
    pub(crate) fn add(&mut self, title: String, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(why) => {
                eprintln!("FAILED {} {title}: {why}", self.suite);
                self.failed += 1;
            }
            Outcome::Skipped(why) => self.skips.push((title, why)),
        }
    }

    /// How long the suite ran, without compiling.
    pub(crate) fn took(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
    }

    fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skips.len() == 0
    }
}

/// All suites of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a finished suite.
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints everything, the closing count last, and says whether the run failed.
    ///
    /// A suite without a single test is a failure: somebody renamed or lost the tests. Under a filter only a run
    /// without a single test is.
    pub(crate) fn conclude(mut self, is_filtered: bool) -> ExitCode {
        let nothing_ran = self.rows.iter().all(Row::is_empty);
        for row in &mut self.rows {
            if row.is_empty() && (!is_filtered || nothing_ran) {
                row.add("(no test)".into(), Outcome::Failed("no test was found in this suite".into()));
            }
        }
        print!("{}", self.text());
        if self.rows.iter().all(|row| row.failed == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.rows {
            lines
                .extend(row.skips.iter().map(|(title, why)| format!("SKIPPED {} {title}: {why}", row.suite)));
        }
        lines.push(format!("{:<8}{:>8}{:>8}{:>9}{:>10}", "suite", "passed", "failed", "skipped", "seconds"));
        let mut sum = [0, 0, 0];
        for row in &self.rows {
            let counts = [row.passed, row.failed, row.skips.len()];
            let [passed, failed, skipped] = counts;
            lines.push(format!("{:<8}{passed:>8}{failed:>8}{skipped:>9}{:>10.1}", row.suite, row.seconds));
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let [passed, failed, skipped] = sum;
        lines.push(format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_count_over_all_suites() {
        let mut unit = Row::new("unit");
        unit.add("a".into(), Outcome::Passed);
        unit.add("b".into(), Outcome::Skipped("no kernel".into()));
        let mut netns = Row::new("netns");
        netns.add("c".into(), Outcome::Passed);
        netns.add("d".into(), Outcome::Failed("it broke".into()));
        let text = Report { rows: vec![unit, netns] }.text();
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert!(text.contains("SKIPPED unit b: no kernel"), "{text}");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_suite_without_a_test_is_a_failure() {
        let report = || Report { rows: vec![Row::new("unit")] };
        assert_eq!(report().conclude(false), ExitCode::FAILURE);
        assert_eq!(report().conclude(true), ExitCode::FAILURE, "a filter that matches nothing");
    }

    #[test]
    fn under_a_filter_a_suite_may_be_empty_if_another_is_not() {
        let mut unit = Row::new("unit");
        unit.add("a".into(), Outcome::Passed);
        assert_eq!(Report { rows: vec![unit, Row::new("netns")] }.conclude(true), ExitCode::SUCCESS);
    }
}
