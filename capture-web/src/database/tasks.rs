//! Tasks: from the upload over the queue to the report.
//!
//! A task is claimed with a lease. Each claim increments its attempt, and every later statement of the holder
//! names that attempt: a holder that was too slow changes nothing.

use std::time::Duration;

use super::engine::{Database, DatabaseError, Pool, on_pool};

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
    const fn name(self) -> &'static str {
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

impl Database {
    /// Creates a task whose files are about to arrive. `false`: as many as `capacity` wait already.
    pub async fn reserve(
        &self,
        new: &NewTask,
        capacity: u64,
        lease: Duration,
    ) -> Result<bool, DatabaseError> {
        let insert = self.sql(
            "INSERT INTO tasks (id, state, owner, name, search, source, created, expires, lease_until) \
             SELECT $1, 'uploading', $2, $3, $4, $5, {now}, 0, {now} + $6 \
             WHERE (SELECT count(*) FROM tasks WHERE state IN ('uploading', 'queued')) < $7",
        );
        macro_rules! insert {
            ($on:expr) => {
                sqlx::query(insert)
                    .bind(&new.id)
                    .bind(&new.owner)
                    .bind(&new.name)
                    .bind(new.name.to_lowercase())
                    .bind(new.source.name())
                    .bind(milliseconds(lease))
                    .bind(number(capacity))
                    .execute($on)
                    .await?
                    .rows_affected()
            };
        }
        let inserted = match &self.pool {
            // A statement of SQLite sees everything that was written before it.
            Pool::Sqlite(pool) => insert!(pool),
            Pool::Postgres(pool) => {
                // Two statements at once would each not see the other's row.
                let mut transaction = pool.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock(7245117)")
                    .execute(&mut *transaction)
                    .await?;
                let inserted = insert!(&mut *transaction);
                transaction.commit().await?;
                inserted
            }
        };
        Ok(inserted == 1)
    }

    /// Extends the lease of an upload. `false`: it has lapsed, and the upload is being removed.
    pub async fn extend_upload(&self, id: &str, lease: Duration) -> Result<bool, DatabaseError> {
        let sql = self
            .sql("UPDATE tasks SET lease_until = {now} + $2 WHERE id = $1 AND state = 'uploading'");
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .bind(milliseconds(lease))
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Puts a task whose files have arrived into the queue. `false`: its lease has lapsed.
    pub async fn submit(
        &self,
        id: &str,
        name: &str,
        bytes: u64,
        names: &[String],
    ) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "UPDATE tasks SET state = 'queued', lease_until = NULL, bytes = $2, names = $3, name = $4, \
             search = $5 WHERE id = $1 AND state = 'uploading'",
        );
        let names = serde_json::to_string(names).unwrap_or_else(|_| "[]".to_owned());
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .bind(number(bytes))
            .bind(names)
            .bind(name)
            .bind(name.to_lowercase())
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Claims the oldest task that waits, or whose holder was lost.
    pub async fn claim(
        &self,
        holder: &str,
        lease: Duration,
    ) -> Result<Option<StoredTask>, DatabaseError> {
        let sql = self.sql(concat!(
            "UPDATE tasks SET state = 'running', attempt = attempt + 1, holder = $1, \
             lease_until = {now} + $2, packets = 0, read_bytes = 0, \
             failures = failures + CASE WHEN state = 'running' THEN 1 ELSE 0 END \
             WHERE id = (SELECT id FROM tasks WHERE state = 'queued' \
             OR (state = 'running' AND lease_until < {now}) \
             ORDER BY created, id LIMIT 1 {unlocked}) RETURNING ",
            columns!()
        ));
        let row: Option<Row> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(holder)
            .bind(milliseconds(lease))
            .fetch_optional(pool)
            .await?);
        row.map(task).transpose()
    }

    /// Extends a claim, and stores the progress. `false`: another one has the task now, or it was removed.
    pub async fn heartbeat(
        &self,
        id: &str,
        attempt: i64,
        (packets, bytes): (u64, u64),
        lease: Duration,
    ) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "UPDATE tasks SET lease_until = {now} + $3, packets = $4, read_bytes = $5 \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
        );
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .bind(attempt)
            .bind(milliseconds(lease))
            .bind(number(packets))
            .bind(number(bytes))
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Ends a claim with a report. `false`: another one has the task now, or it was removed.
    pub async fn complete(
        &self,
        id: &str,
        attempt: i64,
        summary: &str,
        keep: Duration,
    ) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "UPDATE tasks SET state = 'done', lease_until = NULL, summary = $3, expires = {now} + $4 \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
        );
        self.end(sql, id, attempt, summary, keep).await
    }

    /// Ends a claim without a report. `false`: another one has the task now, or it was removed.
    pub async fn fail(
        &self,
        id: &str,
        attempt: i64,
        problem: &str,
        keep: Duration,
    ) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "UPDATE tasks SET state = 'failed', lease_until = NULL, problem = $3, expires = {now} + $4 \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
        );
        self.end(sql, id, attempt, problem, keep).await
    }

    async fn end(
        &self,
        sql: sqlx::AssertSqlSafe<String>,
        id: &str,
        attempt: i64,
        text: &str,
        keep: Duration,
    ) -> Result<bool, DatabaseError> {
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .bind(attempt)
            .bind(text)
            .bind(milliseconds(keep))
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Gives a claim back, so that another replica need not wait for the end of its lease. `lost`: the worker
    /// was lost, which counts as a failure.
    pub async fn release(&self, id: &str, attempt: i64, lost: bool) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "UPDATE tasks SET state = 'queued', lease_until = NULL, failures = failures + $3 \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
        );
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .bind(attempt)
            .bind(i64::from(lost))
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// A task, unless it is being removed.
    pub async fn task(&self, id: &str) -> Result<Option<StoredTask>, DatabaseError> {
        let sql = self.sql(concat!(
            "SELECT ",
            columns!(),
            " FROM tasks WHERE id = $1 AND state <> 'removing'"
        ));
        let row: Option<Row> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(id)
            .fetch_optional(pool)
            .await?);
        row.map(task).transpose()
    }

    /// Queued tasks before this one.
    pub async fn position(&self, of: &StoredTask) -> Result<u64, DatabaseError> {
        let sql = self.sql(
            "SELECT count(*) FROM tasks WHERE state = 'queued' \
             AND (created < $1 OR (created = $1 AND id < $2))",
        );
        let (count,): (i64,) = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(of.created)
            .bind(&of.id)
            .fetch_one(pool)
            .await?);
        Ok(count.unsigned_abs())
    }

    /// How many tasks wait, uploads included, and how many run.
    pub async fn queue(&self) -> Result<(u64, u64), DatabaseError> {
        let sql = self.sql(
            "SELECT (SELECT count(*) FROM tasks WHERE state IN ('uploading', 'queued')), \
             (SELECT count(*) FROM tasks WHERE state = 'running')",
        );
        let (waiting, running): (i64, i64) =
            on_pool!(self, pool => sqlx::query_as(sql).fetch_one(pool).await?);
        Ok((waiting.unsigned_abs(), running.unsigned_abs()))
    }

    /// Reports, the newest first.
    pub async fn reports(
        &self,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<StoredTask>, DatabaseError> {
        let sql = self.sql(concat!(
            "SELECT ",
            columns!(),
            " FROM tasks WHERE state = 'done' \
             AND (CAST($1 AS TEXT) IS NULL OR owner = $1) AND search LIKE $2 ESCAPE '!' \
             AND (created < $3 OR (created = $3 AND id < $4)) \
             ORDER BY created DESC, id DESC LIMIT $5"
        ));
        let (created, id) = filter.after.clone().unwrap_or((i64::MAX, String::new()));
        let rows: Vec<Row> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(&filter.owner)
            .bind(pattern(&filter.search))
            .bind(created)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?);
        rows.into_iter().map(task).collect()
    }
}

/// The pattern for LIKE that finds a text anywhere.
fn pattern(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_search_is_for_the_text_and_not_for_a_pattern() {
        assert_eq!(pattern("100%_Ab!"), "%100!%!_ab!!%");
    }
}
