//! What failed tests said, repeated at the end of a long run.

use std::fmt::{self, Display, Formatter};

/// Lines that are kept of one failed test, from its message on.
const LINES: usize = 40;
/// Characters that are kept of one line.
const WIDTH: usize = 400;

/// Failed tests and their panics, from the output of test programs.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    lines: Vec<String>,
    place: Place,
}

/// Where the next line of a test program's output stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Elsewhere,
    /// Under the heading of a failed test, before its message.
    Failed,
    /// In the message of a failed test, with so many lines left to keep.
    Said(usize),
}

impl Failures {
    /// Keeps one line, if a failed test said it.
    pub(crate) fn read(&mut self, line: &str) {
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" ----"));
        self.place = match (self.place, heading) {
            (_, Some(name)) => {
                self.keep(line);
                // What libtest captured stands before the message; libtest-mimic captures nothing.
                if name.ends_with(" stdout") {
                    Place::Failed
                } else {
                    Place::Said(LINES)
                }
            }
            (_, None) if line.starts_with("failures:") || line.starts_with("test result: ") => {
                Place::Elsewhere
            }
            (Place::Failed, None) if is_message(line) => {
                self.keep(line);
                Place::Said(LINES)
            }
            (Place::Said(0), None) => Place::Elsewhere,
            (Place::Said(left), None) => {
                self.keep(line);
                Place::Said(left - 1)
            }
            (place, None) => place,
        };
    }

    fn keep(&mut self, line: &str) {
        self.lines.push(line.chars().take(WIDTH).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Whether a line is the first of a panic, of an error that a test returns, or of one of the compiler about a test in
/// the documentation.
fn is_message(line: &str) -> bool {
    line.contains(" panicked at ") || line.to_lowercase().starts_with("error")
}

impl std::ops::AddAssign for Failures {
    fn add_assign(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }
}

impl Display for Failures {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(output: &str) -> String {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        failures.to_string()
    }

    #[test]
    fn headings_and_panics_of_failed_tests_are_kept() {
        let output = "running 3 tests\n\
            test good ... ok\n\
            test bad ... FAILED\n\
            test worse ... FAILED\n\
            \n\
            failures:\n\
            \n\
            ---- bad stdout ----\n\
            a line before\n\
            \n\
            thread 'bad' (7) panicked at tests/a.rs:1:2:\n\
            1 is not 2\n\
            \n\
            ---- worse stdout ----\n\
            Error: no panic\n\
            \n\
            ---- src/lib.rs - documented (line 4) stdout ----\n\
            error[E0425]: cannot find value `a`\n\
            \n\
            failures:\n    bad\n    worse\n\
            \n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
            thread 'other' panicked at elsewhere\n";
        let expected = "---- bad stdout ----\n\
            thread 'bad' (7) panicked at tests/a.rs:1:2:\n\
            1 is not 2\n\
            ---- worse stdout ----\n\
            Error: no panic\n\
            ---- src/lib.rs - documented (line 4) stdout ----\n\
            error[E0425]: cannot find value `a`\n";
        assert_eq!(kept(output), expected);
    }

    #[test]
    fn messages_of_tests_without_captured_output_are_kept() {
        let output = "test on_two_nodes::bad ... FAILED\n\
            \n\
            failures:\n\
            \n\
            ---- on_two_nodes::bad ----\n\
            {} instead of 4\n\
            \n\
            \n\
            failures:\n    on_two_nodes::bad\n\
            \n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        let expected = "---- on_two_nodes::bad ----\n{} instead of 4\n";
        assert_eq!(kept(output), expected);
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        let long = "x".repeat(WIDTH + 1);
        let many = format!("{long}\n").repeat(LINES + 9);
        let output = format!("---- bad stdout ----\nthread 'bad' panicked at a.rs\n{many}");
        let kept = kept(&output);
        assert_eq!(kept.lines().count(), LINES + 2);
        assert!(kept.lines().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn without_failures_nothing_is_kept() {
        let output = "test a ... ok\ntest result: ok. 1 passed; 0 failed\n";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        assert!(failures.is_empty());
    }
}
