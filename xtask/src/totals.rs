//! Sums the results of all test programs.

use std::fmt::{self, Display, Formatter};

use crate::failures::Failures;

/// The prefix of the line with which a test reports that it cannot run.
const SKIPPED: &str = "SKIPPED";

/// Tests by outcome.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Tests that skipped themselves, which libtest counts as passed.
    skipped: u64,
    failures: Failures,
}

impl Totals {
    /// Counts the results in one line of a test program's output, if it has any.
    pub(crate) fn count(&mut self, line: &str) {
        self.failures.read(line);
        if line.starts_with(SKIPPED) {
            self.skipped += 1;
        }
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|result| result.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count
                .split_once(' ')
                .map(|(number, kind)| (number.parse::<u64>(), kind))
            {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Counts a test program that failed without reporting a failed test, because it crashed.
    pub(crate) fn count_crash(&mut self) {
        if self.failed == 0 {
            self.failed = 1;
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// What the failed tests said.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Tests that did not run.
    pub(crate) fn skipped(&self) -> u64 {
        self.ignored + self.skipped
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed.saturating_sub(self.skipped)
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped += other.skipped;
        self.failures += other.failures;
    }
}

impl Display for Totals {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        write!(
            formatter,
            "{passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(output: &str) -> String {
        let mut totals = Totals::default();
        output.lines().for_each(|line| totals.count(line));
        totals.to_string()
    }

    #[test]
    fn the_results_of_all_test_programs_are_added_up() {
        let output = "running 4 tests\n\
            test a ... ok\n\
            test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s\n\
            test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(totals(output), "7 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_skipped_itself_is_not_counted_as_passed() {
        let output = "SKIPPED a_test: it needs root\n\
            test a_test ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(totals(output), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn what_only_looks_like_a_result_is_not_counted() {
        let output = "test the_test result: ok. 9 passed ... ok\nwas SKIPPED 1 passed; 3 failed\n";
        assert_eq!(totals(output), "0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_crash_is_a_failure_but_not_one_more_than_the_tests_that_failed() {
        let mut crashed = Totals::default();
        crashed.count_crash();
        assert_eq!(crashed.failed(), 1);
        let mut failed = Totals::default();
        failed.count("test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured");
        failed.count_crash();
        assert_eq!(failed.failed(), 2);
    }
}
