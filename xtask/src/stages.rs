//! The stages of a long task and their times.

use std::time::{Duration, Instant};

/// Times of the stages so far, in the order they ran.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    finished: Vec<(&'static str, Duration)>,
    /// Tasks that ran beside the stages, which their sum does not contain.
    beside: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// Runs a stage and prints its name and time, whether it succeeds or not.
    pub(crate) fn time<T>(&mut self, name: &'static str, stage: impl FnOnce() -> T) -> T {
        eprintln!("== {name}");
        let start = Instant::now();
        let result = stage();
        let took = start.elapsed();
        eprintln!("== {name}: {:.1} s", took.as_secs_f64());
        self.finished.push((name, took));
        result
    }

    /// Adds a task that ran beside the stages.
    pub(crate) fn add_beside(&mut self, name: &'static str, took: Duration) {
        self.beside.push((name, took));
    }

    /// One line per stage, and their sum; then a line per task beside them.
    pub(crate) fn table(&self) -> String {
        let sum = self.finished.iter().map(|(_, took)| *took).sum();
        self.finished
            .iter()
            .copied()
            .chain([("in all", sum)])
            .map(|(name, took)| format!("{name:<24}{:>8.1} s\n", took.as_secs_f64()))
            .chain(
                self.beside.iter().map(|(name, took)| {
                    format!("{name:<24}{:>8.1} s beside\n", took.as_secs_f64())
                }),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_stage_and_their_sum() {
        let mut stages = Stages::default();
        assert_eq!(stages.time("build", || 7), 7);
        stages.finished.push(("test", Duration::from_millis(1500)));
        stages.finished[0].1 = Duration::from_millis(250);
        stages.add_beside("lint", Duration::from_secs(9));
        let table = stages.table();
        let figures: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().find(|word| word.contains('.')))
            .collect();
        let expected = [Some("0.2"), Some("1.5"), Some("1.8"), Some("9.0")];
        assert_eq!(figures, expected, "{table}");
    }
}
