//! Publishes events about resources of the cluster, which are in no namespace. One after the other and beside the
//! reconciles, which must not wait for them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::Notify, time::sleep};

/// An event that is repeated within this time is counted and not published again.
const SAME: Duration = Duration::from_secs(360);
/// How often such a count is written.
const COUNTED: Duration = Duration::from_secs(20);
/// Maximum events that are remembered for that.
const REMEMBERED: usize = 4096;
/// Maximum events that wait to be published; a step more is only in the log.
const WAITING: usize = 4096;
/// The pause after each event: at most 50 a second, which is the limit that a kubelet has.
const PAUSE: Duration = Duration::from_millis(20);
/// The server's code for an object that it finds invalid.
const INVALID: u16 = 422;

/// The event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Notice {
    /// Whether it needs attention.
    pub(super) is_warning: bool,
    /// The reason, one word.
    pub(super) reason: String,
    /// The text.
    pub(super) note: String,
}

/// Publishes events.
pub(super) struct Recorder {
    client: Client,
    instance: String,
    /// Namespace of events about objects without a namespace: servers before 1.21 accept them only
    /// in `kube-system`.
    in_system: AtomicBool,
    seen: Mutex<HashMap<(String, Notice), Seen>>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

/// Accepted events that have not been published yet.
#[derive(Default)]
struct Waiting {
    events: VecDeque<(ObjectReference, Notice)>,
    /// Events that found no room since the last time this was logged.
    dropped: u64,
}

impl Waiting {
    /// Appends an event if there is room.
    fn push(&mut self, about: &ObjectReference, notice: Notice) {
        if self.events.len() < WAITING {
            return self.events.push_back((about.clone(), notice));
        }
        if self.dropped == 0 {
            tracing::warn!(
                "event {} about {} not published, nor those that follow: {WAITING} wait already",
                notice.reason,
                about.name.as_deref().unwrap_or_default()
            );
        }
        self.dropped += 1;
    }

    /// Removes the first event. The dropped ones are logged in one line, when half of the room is free again.
    fn pop(&mut self) -> Option<(ObjectReference, Notice)> {
        let next = self.events.pop_front();
        if self.dropped > 0 && self.events.len() <= WAITING / 2 {
            tracing::warn!("{} events were not published", self.dropped);
            self.dropped = 0;
        }
        next
    }
}

struct Seen {
    name: String,
    count: i32,
    last: Instant,
    written: Instant,
}

/// What was done for an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The API server has it.
    Written,
    /// It was only counted: the same event has just been published.
    Counted,
}

/// An event that is repeated.
struct Again {
    name: String,
    /// How often it was published.
    count: i32,
    /// Whether the count is to be written.
    is_due: bool,
}

impl Recorder {
    pub(super) fn new(client: Client, instance: &str) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            in_system: AtomicBool::new(false),
            seen: Mutex::default(),
            waiting: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts an event for [`Self::run`].
    pub(super) fn accept(&self, about: &ObjectReference, notice: Notice) {
        self.waiting().push(about, notice);
        self.arrived.notify_one();
    }

    /// Publishes accepted events in their order, until it is dropped.
    pub(super) async fn run(&self) {
        loop {
            let next = self.waiting().pop();
            let Some((about, notice)) = next else {
                self.arrived.notified().await;
                continue;
            };
            match self.publish(&about, &notice).await {
                Ok(Published::Counted) => {}
                Ok(Published::Written) => sleep(PAUSE).await,
                Err(error) => {
                    let error = super::error::describe(&error);
                    tracing::warn!("event {} not published: {error}", notice.reason);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(String, Notice), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> Api<Event> {
        let namespace = if self.in_system.load(Relaxed) {
            "kube-system"
        } else {
            "default"
        };
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Publishes an event, or counts it if it has just been published.
    pub(super) async fn publish(
        &self,
        about: &ObjectReference,
        notice: &Notice,
    ) -> Result<Published, kube::Error> {
        let key = (about.uid.clone().unwrap_or_default(), notice.clone());
        if let Some(Again {
            name,
            count,
            is_due,
        }) = self.again(&key)
        {
            if !is_due {
                return Ok(Published::Counted);
            }
            let series = EventSeries {
                count,
                last_observed_time: MicroTime(Timestamp::now()),
            };
            let patch = Patch::Merge(json!({ "series": series }));
            let parameters = PatchParams::default();
            match self.events().patch(&name, &parameters, &patch).await {
                // It has expired: published as a new one.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(|_| Published::Written),
            }
        }
        let event = self.event(about, notice);
        let created = match self.events().create(&PostParams::default(), &event).await {
            Err(kube::Error::Api(status))
                if status.code == INVALID && !self.in_system.swap(true, Relaxed) =>
            {
                self.events().create(&PostParams::default(), &event).await
            }
            other => other,
        };
        self.remember(key, created?.name_any());
        Ok(Published::Written)
    }

    /// The event, if it was published recently.
    fn again(&self, key: &(String, Notice)) -> Option<Again> {
        let mut seen = self.seen();
        let known = seen.get_mut(key)?;
        if known.last.elapsed() >= SAME {
            return None;
        }
        known.last = Instant::now();
        known.count = known.count.saturating_add(1);
        let is_due = known.written.elapsed() >= COUNTED;
        if is_due {
            known.written = known.last;
        }
        Some(Again {
            name: known.name.clone(),
            count: known.count,
            is_due,
        })
    }

    fn remember(&self, key: (String, Notice), name: String) {
        let mut seen = self.seen();
        if seen.len() >= REMEMBERED {
            seen.retain(|_, known| known.last.elapsed() < SAME);
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        let first = Seen {
            name,
            count: 1,
            last: Instant::now(),
            written: Instant::now(),
        };
        seen.insert(key, first);
    }

    fn event(&self, about: &ObjectReference, notice: &Notice) -> Event {
        let kind = if notice.is_warning {
            "Warning"
        } else {
            "Normal"
        };
        let name = about.name.clone().unwrap_or_default();
        let now = Timestamp::now();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            action: Some(notice.reason.clone()),
            reason: Some(notice.reason.clone()),
            note: Some(notice.note.clone()),
            type_: Some(kind.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(about.clone()),
            reporting_controller: Some("capture-coordinator".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_without_room_are_counted_until_half_of_the_room_is_free() {
        let about = |name: usize| ObjectReference {
            name: Some(name.to_string()),
            ..ObjectReference::default()
        };
        let notice = || Notice {
            is_warning: false,
            reason: "Started".to_owned(),
            note: String::new(),
        };
        let mut waiting = Waiting::default();
        for number in 0..WAITING + 3 {
            waiting.push(&about(number), notice());
        }
        assert_eq!((waiting.events.len(), waiting.dropped), (WAITING, 3));
        for number in 0..WAITING / 2 - 1 {
            let (first, _) = waiting.pop().expect("an event");
            assert_eq!(first.name, Some(number.to_string()));
            assert_eq!(waiting.dropped, 3);
        }
        assert!(waiting.pop().is_some());
        assert_eq!(waiting.dropped, 0);
        waiting.push(&about(WAITING), notice());
        assert_eq!(waiting.dropped, 0);
    }
}
