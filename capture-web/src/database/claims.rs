//! Claims. A task is claimed with a lease. Each claim increments its attempt, and every later statement of the
//! holder names that attempt: a holder that was too slow changes nothing.

use std::time::Duration;

use super::{
    engine::{Database, DatabaseError, on_pool},
    row::{Row, StoredTask, columns, milliseconds, number, task},
};

impl Database {
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
}
