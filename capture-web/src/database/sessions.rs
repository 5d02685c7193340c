//! Sessions of people who logged in, and accounts that are locked after failed logins. Only the hash of a
//! session's token is stored.

use std::time::Duration;

use super::{
    engine::{Database, DatabaseError, on_pool},
    row::milliseconds,
};

/// Sessions of an account; the oldest end first.
const MOST_SESSIONS: i64 = 20;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The account.
    pub account: String,
    /// The token that requests which change something must repeat.
    pub csrf: String,
}

impl Database {
    /// Begins a session. Sessions that have ended are removed, and the oldest of the account beyond 20.
    pub async fn begin_session(
        &self,
        token: &str,
        session: &StoredSession,
        length: Duration,
    ) -> Result<(), DatabaseError> {
        let sql = self.sql(
            "INSERT INTO sessions (token, account, csrf, expires) VALUES ($1, $2, $3, {now} + $4)",
        );
        on_pool!(self, pool => sqlx::query(sql)
            .bind(token)
            .bind(&session.account)
            .bind(&session.csrf)
            .bind(milliseconds(length))
            .execute(pool)
            .await?
            .rows_affected());
        let sql = self.sql(
            "DELETE FROM sessions WHERE expires < {now} OR (account = $1 AND token NOT IN \
             (SELECT token FROM sessions WHERE account = $1 ORDER BY expires DESC LIMIT $2))",
        );
        on_pool!(self, pool => sqlx::query(sql)
            .bind(&session.account)
            .bind(MOST_SESSIONS)
            .execute(pool)
            .await?
            .rows_affected());
        Ok(())
    }

    /// The session of a token, unless it has ended.
    pub async fn session(&self, token: &str) -> Result<Option<StoredSession>, DatabaseError> {
        let sql =
            self.sql("SELECT account, csrf FROM sessions WHERE token = $1 AND expires > {now}");
        let row: Option<(String, String)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(token)
            .fetch_optional(pool)
            .await?);
        Ok(row.map(|(account, csrf)| StoredSession { account, csrf }))
    }

    /// Ends a session.
    pub async fn end_session(&self, token: &str) -> Result<(), DatabaseError> {
        let sql = self.sql("DELETE FROM sessions WHERE token = $1");
        on_pool!(self, pool => sqlx::query(sql).bind(token).execute(pool).await?.rows_affected());
        Ok(())
    }

    /// How long an account is still locked.
    pub async fn locked(&self, account: &str) -> Result<Option<Duration>, DatabaseError> {
        let sql = self.sql(
            "SELECT locked_until - {now} FROM lockouts WHERE account = $1 AND locked_until > {now}",
        );
        let row: Option<(i64,)> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(account)
            .fetch_optional(pool)
            .await?);
        Ok(row.map(|(left,)| Duration::from_millis(left.unsigned_abs())))
    }

    /// Counts a failed login; from `allowed` failures on the account is locked for a while.
    pub async fn login_failed(
        &self,
        account: &str,
        allowed: u32,
        lock: Duration,
    ) -> Result<(), DatabaseError> {
        let sql = self.sql(
            "INSERT INTO lockouts (account, failures, locked_until) VALUES ($1, 1, 0) \
             ON CONFLICT (account) DO UPDATE SET \
             locked_until = CASE WHEN lockouts.failures + 1 >= $2 THEN {now} + $3 \
             ELSE lockouts.locked_until END, \
             failures = CASE WHEN lockouts.failures + 1 >= $2 THEN 0 ELSE lockouts.failures + 1 END",
        );
        on_pool!(self, pool => sqlx::query(sql)
            .bind(account)
            .bind(i64::from(allowed))
            .bind(milliseconds(lock))
            .execute(pool)
            .await?
            .rows_affected());
        Ok(())
    }

    /// Forgets failed logins.
    pub async fn login_succeeded(&self, account: &str) -> Result<(), DatabaseError> {
        let sql = self.sql("DELETE FROM lockouts WHERE account = $1");
        on_pool!(self, pool => sqlx::query(sql)
            .bind(account)
            .execute(pool)
            .await?
            .rows_affected());
        Ok(())
    }
}
