//! Tasks: created with their upload, put into the queue, listed as reports.

use std::time::Duration;

use super::{
    engine::{Database, DatabaseError, Pool, on_pool},
    row::{Filter, NewTask, Row, StoredTask, columns, milliseconds, number, task},
};

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
