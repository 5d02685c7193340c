//! Settings about where things are stored.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::values::Values;

/// The database.
#[derive(Debug, Clone)]
pub enum DatabaseSettings {
    /// SQLite in the data directory.
    Sqlite,
    /// PostgreSQL; the password may be in a file.
    Postgres(Box<PgConnectOptions>, Option<PathBuf>),
}

/// A bucket of object storage.
#[derive(Debug, Clone)]
pub struct BucketSettings {
    /// Its name.
    pub name: String,
    /// What the names of its objects begin with.
    pub prefix: String,
    /// An S3 server other than Amazon's.
    pub endpoint: Option<String>,
}

/// The data directory: as given, or /data where it exists, or the user's.
pub(super) fn data_dir(given: &str) -> PathBuf {
    if !given.is_empty() {
        return PathBuf::from(given);
    }
    let shared = Path::new("/data");
    if shared.is_dir() {
        return shared.to_owned();
    }
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("capture-web")
}

pub(super) fn database(values: &mut Values<'_>) -> Option<DatabaseSettings> {
    let Some(url) = values.text("database") else {
        return Some(DatabaseSettings::Sqlite);
    };
    let options = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        url.parse::<PgConnectOptions>()
            .map_err(|error| error.to_string())
    } else {
        Err("give postgres://USER@HOST:PORT/NAME, or nothing for SQLite".to_owned())
    };
    match options {
        Ok(options) => Some(DatabaseSettings::Postgres(
            Box::new(options),
            values.file("database_password_file"),
        )),
        Err(error) => {
            // Without the value, which may hold a password.
            values.wrong.push(format!("database: {error}"));
            None
        }
    }
}

pub(super) fn bucket(values: &mut Values<'_>) -> Option<BucketSettings> {
    let url = values.text("bucket")?;
    let named = url
        .strip_prefix("s3://")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        .filter(|(name, _)| !name.is_empty());
    let Some((name, prefix)) = named else {
        values.wrong("bucket", "give s3://BUCKET/PREFIX");
        return None;
    };
    Some(BucketSettings {
        name: name.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: values.text("bucket_endpoint"),
    })
}
