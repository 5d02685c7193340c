//! Connections to the database, and the words in which the engines differ.

use std::{path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a writer of SQLite waits for another one.
const BUSY: Duration = Duration::from_secs(10);
const CONNECTIONS: u32 = 8;
/// `SQLITE_FULL` (<https://sqlite.org/rescode.html>).
const SQLITE_FULL: &str = "13";
/// `disk_full` (PostgreSQL's appendix A).
const POSTGRES_FULL: &str = "53100";

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be opened or migrated.
    #[error("database {name}: {problem}")]
    Open {
        /// Its name, without a password.
        name: String,
        /// The reason.
        problem: String,
    },
    /// A statement failed.
    #[error("database: {0}")]
    Statement(sqlx::Error),
    /// It has no room to write.
    #[error("no room for the database: the disk is full")]
    Full,
    /// A row cannot be understood.
    #[error("database: task {id}: {problem}")]
    Row {
        /// The task.
        id: String,
        /// The reason.
        problem: String,
    },
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some(SQLITE_FULL | POSTGRES_FULL) => Self::Full,
            _ => Self::Statement(error),
        }
    }
}

/// Which database to use.
#[derive(Debug, Clone)]
pub enum Engine {
    /// A file of SQLite.
    Sqlite(std::path::PathBuf),
    /// PostgreSQL.
    Postgres(Box<PgConnectOptions>),
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) pool: Pool,
}

#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs the same expression on the pool of either engine.
macro_rules! on_pool {
    ($database:expr, $pool:ident => $what:expr) => {
        match &$database.pool {
            $crate::database::engine::Pool::Sqlite($pool) => $what,
            $crate::database::engine::Pool::Postgres($pool) => $what,
        }
    };
}
pub(super) use on_pool;

impl Database {
    /// Connects, and brings the tables up to date.
    ///
    /// # Errors
    /// The database cannot be opened, or its tables are of a newer version.
    pub async fn open(engine: &Engine) -> Result<Self, DatabaseError> {
        let name = match engine {
            Engine::Sqlite(path) => path.display().to_string(),
            Engine::Postgres(options) => {
                format!("{}:{}", options.get_host(), options.get_port())
            }
        };
        let failed = |problem: String| DatabaseError::Open {
            name: name.clone(),
            problem,
        };
        let database = match engine {
            Engine::Sqlite(path) => Self::sqlite(path)
                .await
                .map_err(|error| failed(error.to_string()))?,
            Engine::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(ACQUIRE)
                    .connect_with((**options).clone())
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                Self {
                    pool: Pool::Postgres(pool),
                }
            }
        };
        let migrated = match &database.pool {
            Pool::Sqlite(pool) => migrator(SQLITE).run(pool).await,
            Pool::Postgres(pool) => migrator(POSTGRES).run(pool).await,
        };
        migrated.map_err(|error| failed(error.to_string()))?;
        Ok(database)
    }

    async fn sqlite(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A task that was accepted must survive a power failure.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await?;
        Ok(Self {
            pool: Pool::Sqlite(pool),
        })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        on_pool!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Ends the connections.
    pub async fn close(&self) {
        on_pool!(self, pool => pool.close().await);
    }

    /// A statement in the words of the engine.
    pub(super) fn sql(&self, text: &'static str) -> AssertSqlSafe<String> {
        let (now, unlocked) = match &self.pool {
            Pool::Sqlite(_) => ("CAST(unixepoch('subsec') * 1000 AS BIGINT)", ""),
            Pool::Postgres(_) => (
                "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
                "FOR UPDATE SKIP LOCKED",
            ),
        };
        // Both replacements are constants: nothing from outside becomes part of a statement.
        AssertSqlSafe(text.replace("{now}", now).replace("{unlocked}", unlocked))
    }
}

type Migrations = &'static [(i64, &'static str, &'static str)];

const SQLITE: Migrations = &[(1, "tasks", include_str!("migrations/sqlite/0001_tasks.sql"))];
const POSTGRES: Migrations = &[(
    1,
    "tasks",
    include_str!("migrations/postgres/0001_tasks.sql"),
)];

fn migrator(migrations: Migrations) -> Migrator {
    let migration = |&(version, name, text): &(i64, &'static str, &'static str)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(text);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}
