//! The stages of a long task and their times.

use std::time::{Duration, Instant};

/// Times of the stages so far, in the order they ran.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    finished: Vec<(&'static str, Duration)>,
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

    /// One line per stage, and their sum.
    pub(crate) fn table(&self) -> String {
        let sum = self.finished.iter().map(|(_, took)| *took).sum();
        self.finished
            .iter()
            .copied()
            .chain([("in all", sum)])
            .map(|(name, took)| format!("{name:<24}{:>8.1} s\n", took.as_secs_f64()))
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
        let table = stages.table();
        let figures: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().rev().nth(1))
            .collect();
        assert_eq!(figures, [Some("0.2"), Some("1.5"), Some("1.8")], "{table}");
    }
}
