//! Removal of tasks: first the row is marked, then the files are removed, then the row. A crash in between
//! leaves a marked row, and the removal is repeated.

use super::{
    engine::{Database, DatabaseError, on_pool},
    row::{State, number},
};

/// Tasks to remove at a time.
const BATCH: i64 = 100;

/// The condition of tasks past their time, and of uploads whose server was lost.
macro_rules! overdue {
    () => {
        "((state IN ('done', 'failed') AND expires < {now}) \
         OR (state = 'uploading' AND lease_until < {now}))"
    };
}

impl Database {
    /// Marks a task for removal; nobody sees it from now on. `false`: there is no such task.
    pub async fn begin_removal(&self, id: &str) -> Result<bool, DatabaseError> {
        // The attempt is incremented, so that a worker which still runs writes nothing more.
        let sql =
            self.sql("UPDATE tasks SET state = 'removing', attempt = attempt + 1 WHERE id = $1");
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(id)
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Removes the row of a task whose files are removed.
    pub async fn finish_removal(&self, id: &str) -> Result<(), DatabaseError> {
        let sql = self.sql("DELETE FROM tasks WHERE id = $1 AND state = 'removing'");
        on_pool!(self, pool => sqlx::query(sql).bind(id).execute(pool).await?.rows_affected());
        Ok(())
    }

    /// Marks what is to go: reports past their time, uploads whose server was lost. Returns everything that is
    /// marked.
    pub async fn expired(&self) -> Result<Vec<String>, DatabaseError> {
        let sql = self.sql(concat!(
            "UPDATE tasks SET state = 'removing', attempt = attempt + 1 WHERE ",
            overdue!()
        ));
        on_pool!(self, pool => sqlx::query(sql).execute(pool).await?.rows_affected());
        let sql = self.sql("SELECT id FROM tasks WHERE state = 'removing' ORDER BY id LIMIT $1");
        let rows: Vec<(String,)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(BATCH)
            .fetch_all(pool)
            .await?);
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// What is to go and is not marked yet.
    pub async fn overdue(&self) -> Result<Vec<String>, DatabaseError> {
        let sql = self.sql(concat!(
            "SELECT id FROM tasks WHERE ",
            overdue!(),
            " ORDER BY id LIMIT $1"
        ));
        let rows: Vec<(String,)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(BATCH)
            .fetch_all(pool)
            .await?);
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The oldest reports beyond this many bytes of files in all.
    pub async fn beyond(&self, bytes: u64) -> Result<Vec<String>, DatabaseError> {
        let sql = self.sql(
            "SELECT id FROM (SELECT id, created, sum(bytes) OVER (ORDER BY created DESC, id DESC) AS total \
             FROM tasks WHERE state IN ('done', 'failed')) AS reports WHERE total > $1 \
             ORDER BY created LIMIT $2",
        );
        let rows: Vec<(String,)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(number(bytes))
            .bind(BATCH)
            .fetch_all(pool)
            .await?);
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The state and the attempt of a task, also while it is being removed.
    pub async fn fate(&self, id: &str) -> Result<Option<(State, i64)>, DatabaseError> {
        let sql = self.sql("SELECT state, attempt FROM tasks WHERE id = $1");
        let row: Option<(String, i64)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(id)
            .fetch_optional(pool)
            .await?);
        let Some((state, attempt)) = row else {
            return Ok(None);
        };
        let state = State::parse(&state).ok_or_else(|| DatabaseError::Row {
            id: id.to_owned(),
            problem: "unknown state".to_owned(),
        })?;
        Ok(Some((state, attempt)))
    }
}
