//! What failed lately, and which file is next.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::Patience;
use crate::{backoff::Backoff, file::FinishedFile};

/// A file that fails alone waits this long at first, while others go on.
const FIRST_PENALTY: Duration = Duration::from_secs(5);
const LONGEST_PENALTY: Duration = Duration::from_secs(1800);
/// While nothing succeeds, this many files are tried in turn: one that fails alone does not stop the others.
const TRIED_IN_TURN: usize = 3;

/// A file of a series, by number.
pub(super) type Key = (String, u64);

/// What is known of failures, in memory only: a restart tries everything again.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) pause: Backoff,
    /// Files that failed since the last success.
    pub(super) since_success: HashSet<Key>,
    /// Files that failed while others succeeded, and when they are due.
    pub(super) penalties: HashMap<Key, (Backoff, Instant)>,
    /// Files that were not found: how often, and since when.
    pub(super) absences: HashMap<Key, (u32, Instant)>,
    /// When the sink is asked again whether a file is indexed.
    pub(super) next_question: Instant,
}

/// The key of a file.
pub(super) fn key(file: &FinishedFile) -> Key {
    (file.series.clone(), file.entry.sequence)
}

/// What to do next.
pub(super) enum Choice {
    /// Deliver this file.
    Now(Arc<FinishedFile>),
    /// Every file that waits has failed alone; one is due then.
    At(Instant),
    /// No file waits.
    Nothing,
}

impl Failures {
    /// None yet.
    pub(super) fn new(patience: &Patience) -> Self {
        Self {
            pause: Backoff::new(patience.first_wait, patience.longest_wait),
            since_success: HashSet::new(),
            penalties: HashMap::new(),
            absences: HashMap::new(),
            next_question: Instant::now(),
        }
    }

    /// The oldest file that is due; while nothing succeeds, one of the oldest few in turn.
    pub(super) fn choose(&self, waiting: &[Arc<FinishedFile>]) -> Choice {
        let now = Instant::now();
        let due: Vec<_> = waiting
            .iter()
            .filter(|file| {
                let penalty = self.penalties.get(&key(file));
                penalty.is_none_or(|(_, due)| *due <= now)
            })
            .take(TRIED_IN_TURN)
            .collect();
        if !due.is_empty() {
            let turn = self.pause.failures() as usize % due.len();
            return Choice::Now(Arc::clone(due[turn]));
        }
        let next = self.penalties.values().map(|(_, due)| *due).min();
        next.map_or(Choice::Nothing, Choice::At)
    }

    /// A file was delivered: the others that failed meanwhile fail by themselves.
    pub(super) fn succeeded(&mut self, delivered: &Key) {
        self.pause.reset();
        self.penalties.remove(delivered);
        self.absences.remove(delivered);
        for key in self.since_success.drain() {
            if key == *delivered {
                continue;
            }
            let new = (Backoff::new(FIRST_PENALTY, LONGEST_PENALTY), Instant::now());
            let (backoff, due) = self.penalties.entry(key).or_insert(new);
            *due = Instant::now() + backoff.next(None);
        }
    }

    /// Forgets files that no longer wait.
    pub(super) fn keep_only(&mut self, waiting: &[Arc<FinishedFile>]) {
        if self.penalties.is_empty() && self.absences.is_empty() && self.since_success.is_empty() {
            return;
        }
        let keys: HashSet<Key> = waiting.iter().map(|file| key(file)).collect();
        self.penalties.retain(|key, _| keys.contains(key));
        self.absences.retain(|key, _| keys.contains(key));
        self.since_success.retain(|key| keys.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use capture_file::manifest::FileEntry;

    use super::*;
    use crate::file::Origin;

    fn files(number: u64) -> Vec<Arc<FinishedFile>> {
        let file = |sequence| {
            Arc::new(FinishedFile {
                path: "/x".into(),
                series: "a/a".to_owned(),
                capture: "a".to_owned(),
                entry: FileEntry::unknown(format!("a-{sequence}"), sequence, 1),
                of: None,
                origin: Arc::new(Origin::default()),
            })
        };
        (1..=number).map(file).collect()
    }

    fn chosen(failures: &Failures, waiting: &[Arc<FinishedFile>]) -> Option<u64> {
        match failures.choose(waiting) {
            Choice::Now(file) => Some(file.entry.sequence),
            Choice::At(_) | Choice::Nothing => None,
        }
    }

    fn fails(failures: &mut Failures, sequence: u64) {
        failures.since_success.insert(("a/a".to_owned(), sequence));
        failures.pause.next(None);
    }

    #[test]
    fn a_file_that_fails_alone_does_not_stop_the_others_and_is_tried_again_later() {
        let mut failures = Failures::new(&Patience::default());
        let waiting = files(3);
        assert_eq!(chosen(&failures, &waiting), Some(1), "the oldest first");
        fails(&mut failures, 1);
        assert_eq!(chosen(&failures, &waiting), Some(2), "then another one");
        failures.succeeded(&("a/a".to_owned(), 2));
        let waiting = [Arc::clone(&waiting[0]), Arc::clone(&waiting[2])];
        assert_eq!(
            chosen(&failures, &waiting),
            Some(3),
            "the one that failed alone waits"
        );
        let waiting = &waiting[..1];
        assert!(
            matches!(failures.choose(waiting), Choice::At(_)),
            "and comes back by itself"
        );
        failures.keep_only(&[]);
        assert!(
            failures.penalties.is_empty(),
            "what no longer waits is forgotten"
        );
    }

    #[test]
    fn an_outage_delays_no_file_beyond_it() {
        let mut failures = Failures::new(&Patience::default());
        let waiting = files(9);
        for _ in 0..50 {
            let sequence = chosen(&failures, &waiting).expect("a file");
            assert!(sequence <= TRIED_IN_TURN as u64);
            fails(&mut failures, sequence);
        }
        failures.succeeded(&("a/a".to_owned(), 1));
        let longest = failures
            .penalties
            .values()
            .map(|(_, due)| *due - Instant::now())
            .max();
        assert!(
            longest.is_some_and(|longest| longest < FIRST_PENALTY * 2),
            "{longest:?}"
        );
        assert_eq!(failures.pause.failures(), 0);
    }
}
