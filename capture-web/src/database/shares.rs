//! Links to reports for people without an account. Only the hash of a link's token is stored.

use super::{
    engine::{Database, DatabaseError, on_pool},
    row::{Row, StoredTask, columns, task},
};

impl Database {
    /// Stores a link. `false`: there is no such report.
    pub async fn share(&self, token: &str, id: &str) -> Result<bool, DatabaseError> {
        let sql = self.sql(
            "INSERT INTO shares (token, task) SELECT $1, id FROM tasks WHERE id = $2 AND state = 'done'",
        );
        let done = on_pool!(self, pool => sqlx::query(sql)
            .bind(token)
            .bind(id)
            .execute(pool)
            .await?
            .rows_affected());
        Ok(done == 1)
    }

    /// Number of links to a report.
    pub async fn share_count(&self, id: &str) -> Result<u64, DatabaseError> {
        let sql = self.sql("SELECT count(*) FROM shares WHERE task = $1");
        let (count,): (i64,) = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(id)
            .fetch_one(pool)
            .await?);
        Ok(count.unsigned_abs())
    }

    /// The report of a link.
    pub async fn shared(&self, token: &str) -> Result<Option<StoredTask>, DatabaseError> {
        let sql = self.sql(concat!(
            "SELECT ",
            columns!(),
            " FROM tasks WHERE id = (SELECT task FROM shares WHERE token = $1) AND state = 'done'"
        ));
        let row: Option<Row> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(token)
            .fetch_optional(pool)
            .await?);
        row.map(task).transpose()
    }
}
