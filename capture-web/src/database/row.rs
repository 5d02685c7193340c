//! A task as a row.

use std::time::Duration;

use super::engine::DatabaseError;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its files are arriving.
    Uploading,
    /// It waits for a worker.
    Queued,
    /// A worker has claimed it.
    Running,
    /// Its report is ready.
    Done,
    /// It ended without a report.
    Failed,
    /// Its files are being removed.
    Removing,
}

impl State {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Uploading, "uploading"),
        (Self::Queued, "queued"),
        (Self::Running, "running"),
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::Removing, "removing"),
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, name)| *name == text).map(|(state, _)| state)
    }
}

/// Where the files came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An upload.
    Upload,
    /// A capture.
    Capture,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Capture => "capture",
        }
    }
}

/// A task to create.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its id.
    pub id: String,
    /// Who asked for it.
    pub owner: String,
    /// The name of the file or the capture.
    pub name: String,
    /// Where its files come from.
    pub source: Source,
}

/// A task in the database. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone)]
pub struct StoredTask {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Who asked for it.
    pub owner: String,
    /// The name of the file or the capture.
    pub name: String,
    /// Where its files came from.
    pub source: Source,
    /// When it was created.
    pub created: i64,
    /// When it is removed, once it has ended.
    pub expires: i64,
    /// Bytes of its files.
    pub bytes: u64,
    /// The names of its files.
    pub names: Vec<String>,
    /// How often it was claimed.
    pub attempt: i64,
    /// Claims whose holder or worker was lost.
    pub failures: u64,
    /// Packets analysed.
    pub packets: u64,
    /// Bytes analysed.
    pub read_bytes: u64,
    /// The summary of the report, JSON.
    pub summary: Option<String>,
    /// Why it failed, JSON.
    pub problem: Option<String>,
}

/// Which reports to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this owner.
    pub owner: Option<String>,
    /// Only with this part in the name.
    pub search: String,
    /// Only after this one: time of creation and id.
    pub after: Option<(i64, String)>,
}

/// The columns of [`Row`], in its order.
macro_rules! columns {
    () => {
        "id, state, owner, name, source, created, expires, bytes, names, attempt, failures, packets, \
         read_bytes, summary, problem"
    };
}
pub(super) use columns;

pub(super) type Row = (
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    String,
    i64,
    i64,
    i64,
    i64,
    Option<String>,
    Option<String>,
);

pub(super) fn task(row: Row) -> Result<StoredTask, DatabaseError> {
    let id = row.0;
    let wrong = |problem: &str| DatabaseError::Row {
        id: id.clone(),
        problem: problem.to_owned(),
    };
    Ok(StoredTask {
        state: State::parse(&row.1).ok_or_else(|| wrong("unknown state"))?,
        owner: row.2,
        name: row.3,
        source: match &*row.4 {
            "capture" => Source::Capture,
            _ => Source::Upload,
        },
        created: row.5,
        expires: row.6,
        bytes: row.7.unsigned_abs(),
        names: serde_json::from_str(&row.8).map_err(|_| wrong("its names are no list"))?,
        attempt: row.9,
        failures: row.10.unsigned_abs(),
        packets: row.11.unsigned_abs(),
        read_bytes: row.12.unsigned_abs(),
        summary: row.13,
        problem: row.14,
        id,
    })
}

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
