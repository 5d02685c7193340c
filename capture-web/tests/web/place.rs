//! Where servers store things: SQLite and a directory, or PostgreSQL and an S3 server.

use std::{collections::BTreeSet, fs, path::Path};

use capture_tests::gate;
use object_server::ObjectServer;
use tempfile::TempDir;

use crate::{postgres::Postgres, server::Server};

const BUCKET: &str = "captures";

/// A place that any number of servers can use at the same time.
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) bucket: Option<ObjectServer>,
}

impl Place {
    /// SQLite and a directory.
    pub(crate) fn local() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            postgres: None,
            bucket: None,
        }
    }

    /// PostgreSQL and an S3 server. `None`: PostgreSQL is not installed, which has been reported.
    pub(crate) async fn shared() -> Option<Self> {
        let Some(postgres) = Postgres::start().await else {
            gate::cannot_run("PostgreSQL is not installed").unwrap();
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("s3");
        // It has a runtime of its own, which can neither begin nor end within another one.
        let bucket = std::thread::spawn(move || ObjectServer::start(&root, &[BUCKET]));
        let bucket = bucket.join().unwrap().unwrap();
        Some(Self {
            directory,
            postgres: Some(postgres),
            bucket: Some(bucket),
        })
    }

    /// A server on this place.
    pub(crate) fn server(&self, settings: &[(&str, &str)]) -> Server {
        let mut all: Vec<(String, String)> = Vec::new();
        if let Some(postgres) = &self.postgres {
            all.push(("CAPTURE_WEB_DATABASE".to_owned(), postgres.url()));
        }
        if let Some(bucket) = &self.bucket {
            let more = bucket.environment();
            all.extend(
                more.into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
            let url = format!("s3://{BUCKET}/web");
            all.push(("CAPTURE_WEB_BUCKET".to_owned(), url));
            all.push(("CAPTURE_WEB_BUCKET_ENDPOINT".to_owned(), bucket.url()));
        }
        let owned = settings.iter();
        all.extend(owned.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        Server::on(&self.directory.path().join("data"), &all)
    }

    /// The files of tasks, as `ID/DIRECTORY/NAME`.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let root = match &self.bucket {
            None => self.directory.path().join("data/files"),
            Some(bucket) => bucket.root().join(BUCKET).join("web"),
        };
        let mut found = BTreeSet::new();
        collect(&root, &root, &mut found);
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(bucket) = self.bucket.take() {
            let _ = std::thread::spawn(move || drop(bucket)).join();
        }
    }
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap();
            found.insert(name.to_string_lossy().into_owned());
        }
    }
}
