//! A capture as the manager knows it: its record, and what it does while it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    order::Order,
    state::{Reason, State},
};
use crate::{
    ledger::Ledger,
    pipeline::{Begun, Held, drain::Shared, packet::LinkType, utc},
    session::{Control, InterfaceReport, Monitor, Report},
    spec::CaptureName,
};

/// Warnings that are kept; the oldest go first.
const MOST_WARNINGS: usize = 16;

/// What is known of a capture, and kept on disk. Times are UTC nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: CaptureName,
    /// Another capture of the same name has another.
    pub uid: String,
    /// What it is to do.
    pub order: Order,
    /// Where it is in its life.
    pub state: State,
    /// Why.
    pub state_reason: Option<Reason>,
    /// A sentence for a person.
    pub message: String,
    /// When it was asked for.
    pub created: u64,
    /// When it was first attached.
    pub started: Option<u64>,
    /// When it ended and everything was on disk.
    pub ended: Option<u64>,
    /// What became of its packets.
    pub tally: Tally,
    /// What did not end it.
    pub warnings: Vec<String>,
    /// How often a new daemon has taken it up.
    pub resumed: u32,
    /// Changes with state, order and labels.
    pub generation: u64,
    /// How the session began that runs, if it makes files.
    #[serde(default)]
    pub session: Option<SessionStart>,
    /// When the numbers were put on disk last.
    #[serde(default)]
    pub saved: Option<u64>,
}

/// How a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStart {
    /// What the sessions before had written.
    pub before: Held,
    /// What stood in the directory.
    pub begun: Begun,
}

/// The numbers of a capture, of all its sessions together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All interfaces together.
    pub total: Ledger,
    /// Each interface, in the order of their joining.
    pub interfaces: Vec<InterfaceReport>,
    /// Bytes written to files.
    pub bytes: u64,
    /// Files finished.
    pub files: u64,
}

impl Tally {
    /// These numbers and those of a later session.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        let mut sum = self.clone();
        sum.total += later.total;
        sum.interfaces.extend(later.interfaces.iter().cloned());
        sum.bytes += later.bytes;
        sum.files += later.files;
        sum
    }

    /// What was written.
    #[must_use]
    pub const fn written(&self) -> Held {
        Held {
            files: self.files,
            packets: self.total.written,
            bytes: self.bytes,
        }
    }

    /// The last numbers before a crash, made true to what files hold. Packets that were on their way
    /// when the numbers were taken have arrived in files, as far as files hold more than they say;
    /// the others are lost. What files hold beyond that was seen after the numbers were taken.
    pub fn settle(&mut self, held: Held) -> Settled {
        let found = held.packets.saturating_sub(self.total.written);
        self.bytes = self.bytes.max(held.bytes);
        self.files = self.files.max(held.files);
        let mut left = found;
        let mut lost = 0;
        for interface in &mut self.interfaces {
            let ledger = &mut interface.ledger;
            let waiting = ledger
                .submitted
                .saturating_sub(ledger.written + ledger.discarded.total());
            let arrived = waiting.min(left);
            left -= arrived;
            lost += waiting - arrived;
            ledger.written += arrived;
            ledger.discarded.write_error += waiting - arrived;
        }
        if left > 0 {
            let since = Ledger {
                seen: left,
                matched: left,
                submitted: left,
                written: left,
                ..Ledger::default()
            };
            match self.interfaces.as_mut_slice() {
                [one] => one.ledger += since,
                several => {
                    let first = several.first();
                    let link_type = first.map_or(LinkType::Ethernet, |first| first.link_type);
                    self.interfaces.push(InterfaceReport {
                        name: "unknown".to_owned(),
                        ifindex: 0,
                        link_type,
                        ledger: since,
                    });
                }
            }
        }
        self.total = Ledger::default();
        for interface in &self.interfaces {
            self.total += interface.ledger;
        }
        Settled { found, lost }
    }
}

/// What became known when the numbers of a capture that died were settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Packets that files hold and the numbers did not know.
    pub found: u64,
    /// Packets that were on their way and are in no file.
    pub lost: u64,
}

/// A capture as it is at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What is known of it, its numbers as they are now.
    pub record: Record,
    /// The file being written.
    pub current_file: Option<String>,
}

/// What a running capture shows.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) monitor: Arc<Monitor>,
    pub(super) shared: Arc<Shared>,
    pub(super) control: Control,
}

impl Live {
    fn tally(&self) -> Tally {
        let interfaces = self.monitor.report();
        let mut total = Ledger::default();
        for interface in &interfaces {
            total += interface.ledger;
        }
        let progress = self.monitor.progress();
        Tally {
            total,
            interfaces,
            bytes: progress.bytes(),
            files: progress.files(),
        }
    }
}

/// A capture.
pub struct Capture {
    inner: Mutex<Inner>,
    /// Whether it has ended, and its last record is on disk.
    settled: watch::Sender<bool>,
    /// Tells a running capture to end.
    stop: watch::Sender<Option<Reason>>,
}

struct Inner {
    record: Record,
    live: Option<Live>,
}

impl Capture {
    pub(super) fn new(record: Record) -> Arc<Self> {
        let settled = watch::Sender::new(!record.state.is_active());
        Arc::new(Self {
            inner: Mutex::new(Inner { record, live: None }),
            settled,
            stop: watch::Sender::new(None),
        })
    }

    /// The record of a capture that nobody has started yet.
    pub(super) fn ordered(order: Order) -> Record {
        Record {
            name: order.spec.name.clone(),
            uid: uid(),
            order,
            state: State::Pending,
            state_reason: None,
            message: String::new(),
            created: utc::now(),
            started: None,
            ended: None,
            tally: Tally::default(),
            warnings: Vec::new(),
            resumed: 0,
            generation: 1,
            session: None,
            saved: None,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change under this lock leaves a record that makes sense.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A capture that would be, and is not.
    #[must_use]
    pub fn planned(order: Order) -> Snapshot {
        Snapshot {
            record: Self::ordered(order),
            current_file: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> CaptureName {
        self.inner().record.name.clone()
    }

    /// The capture as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner();
        let mut record = inner.record.clone();
        let live = inner.live.clone();
        drop(inner);
        let current_file = live
            .as_ref()
            .filter(|_| record.state == State::Running)
            .and_then(|live| live.monitor.progress().file());
        if let Some(live) = &live {
            record.tally = record.tally.and(&live.tally());
        }
        Snapshot {
            record,
            current_file,
        }
    }

    /// The capture without its present numbers, which cost more to get.
    #[must_use]
    pub fn record(&self) -> Record {
        self.inner().record.clone()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner().record.state
    }

    /// Its generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner().record.generation
    }

    /// Whether it has all of these labels.
    #[must_use]
    pub fn has_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        if labels.is_empty() {
            return true;
        }
        let inner = self.inner();
        let own = &inner.record.order.labels;
        labels
            .iter()
            .all(|(key, value)| own.get(key) == Some(value))
    }

    /// What it shows while it runs; `None` if it does not.
    #[must_use]
    pub fn monitor(&self) -> Option<Arc<Monitor>> {
        self.live().map(|live| live.monitor)
    }

    /// What it shows while it runs.
    pub(super) fn live(&self) -> Option<Live> {
        self.inner().live.clone()
    }

    /// Changes the record; `false`, and nothing is changed, if the state cannot become the new one.
    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> bool {
        self.change_if(|record| {
            change(record);
            true
        })
    }

    /// The same, if the change itself says so.
    pub(super) fn change_if(&self, change: impl FnOnce(&mut Record) -> bool) -> bool {
        let mut inner = self.inner();
        let mut record = inner.record.clone();
        if !change(&mut record) {
            return false;
        }
        let (from, to) = (inner.record.state, record.state);
        if from != to && !from.may_become(to) {
            tracing::error!("capture {}: {from} cannot become {to}", record.name);
            return false;
        }
        record.generation = inner.record.generation + 1;
        record
            .warnings
            .drain(..record.warnings.len().saturating_sub(MOST_WARNINGS));
        inner.record = record;
        true
    }

    /// Its numbers are from now on those of a session, on top of those before.
    pub(super) fn goes_live(&self, live: Live) {
        self.inner().live = Some(live);
    }

    /// The session has ended, and these are its last numbers.
    pub(super) fn ends_live(&self, report: Option<&Report>) {
        let mut inner = self.inner();
        if let Some(live) = inner.live.take() {
            let mut last = live.tally();
            if let Some(report) = report {
                last.total = report.total;
                last.interfaces.clone_from(&report.interfaces);
            }
            inner.record.tally = inner.record.tally.and(&last);
        }
    }

    /// Asks it to end; the first reason counts.
    pub(super) fn stop(&self, reason: Reason) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(reason);
            }
            first
        });
    }

    /// Waits until it is asked to end.
    pub(super) async fn asked_to_stop(&self) -> Reason {
        let mut stop = self.stop.subscribe();
        let reason = stop
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| *reason);
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Says that it has ended and that its last record is on disk.
    pub(super) fn settle(&self) {
        self.settled.send_replace(true);
    }

    /// Waits until it has ended and its last record is on disk. A daemon that went away before that
    /// would leave a capture whose last numbers the next one does not know.
    pub async fn ended(&self) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as this does.
        let _ = settled.wait_for(|settled| *settled).await;
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn uid() -> String {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(_) => {
                bytes =
                    (u128::from(utc::now()) << 32 | u128::from(std::process::id())).to_be_bytes();
                break;
            }
        }
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Held, InterfaceReport, Ledger, LinkType, Settled, Tally};

    fn interface(name: &str, submitted: u64, written: u64) -> InterfaceReport {
        InterfaceReport {
            name: name.to_owned(),
            ifindex: 2,
            link_type: LinkType::Ethernet,
            ledger: Ledger {
                seen: submitted + 5,
                filtered: 3,
                matched: submitted + 2,
                submitted,
                ring_full: 2,
                written,
                ..Ledger::default()
            },
        }
    }

    fn tally(interfaces: Vec<InterfaceReport>) -> Tally {
        let mut tally = Tally {
            interfaces,
            ..Tally::default()
        };
        for interface in &tally.interfaces {
            tally.total += interface.ledger;
        }
        tally
    }

    fn held(packets: u64) -> Held {
        Held {
            files: 2,
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn the_ledger_of_a_capture_that_died_says_what_its_files_hold_and_adds_up() {
        // Submitted and written at the checkpoint, packets in files; found, lost.
        for (interfaces, files, found, lost) in [
            (vec![("a", 100, 80)], 80, 0, 20),
            (vec![("a", 100, 80)], 90, 10, 10),
            (vec![("a", 100, 80)], 100, 20, 0),
            (vec![("a", 100, 80)], 150, 70, 0),
            (vec![("a", 100, 80), ("b", 50, 50)], 140, 10, 10),
            (vec![("a", 100, 80), ("b", 50, 40)], 200, 80, 0),
            (vec![("a", 100, 100)], 100, 0, 0),
            // Somebody has removed files.
            (vec![("a", 100, 100)], 10, 0, 0),
            (vec![], 7, 7, 0),
        ] {
            let interfaces = interfaces.iter();
            let interfaces =
                interfaces.map(|(name, submitted, written)| interface(name, *submitted, *written));
            let mut tally = tally(interfaces.collect());
            let before = tally.clone();
            assert_eq!(tally.settle(held(files)), Settled { found, lost });
            tally.total.check().expect("it adds up");
            for interface in &tally.interfaces {
                interface.ledger.check().expect("each adds up");
            }
            assert_eq!(tally.total.written, before.total.written.max(files));
            assert_eq!(tally.total.ring_full, before.total.ring_full);
            assert!(tally.total.seen >= before.total.seen);
            assert_eq!(tally.total.discarded.write_error, lost);
            assert_eq!((tally.files, tally.bytes), (2, files * 100));
            let settled = tally.clone();
            tally.settle(held(files));
            assert_eq!(tally, settled, "once is enough");
        }
    }
}
