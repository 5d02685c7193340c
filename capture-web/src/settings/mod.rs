//! Settings: from a file, the environment and the command line; the last one that sets a value decides.

mod access;
mod layer;
mod live;
mod storage;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::worker::Bounds;

pub use access::{AccessSettings, ProxySettings};
pub use layer::{ALL, Described, Layer, documented};
pub use live::LiveSettings;
pub use storage::{BucketSettings, DatabaseSettings};
use values::Values;

/// The effective settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the page and its API.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How callers prove who they are.
    pub access: AccessSettings,
    /// How long a session lasts.
    pub session: Duration,
    /// Metrics and health over HTTP.
    pub metrics: Option<SocketAddr>,
    /// The log level.
    pub log_level: String,
    /// Whether the log is JSON.
    pub log_json: bool,
    /// Directory of everything that is stored here.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseSettings,
    /// Object storage.
    pub bucket: Option<BucketSettings>,
    /// Limits of uploads.
    pub uploads: UploadSettings,
    /// How long reports are kept.
    pub keep: Duration,
    /// Bytes of files of all reports.
    pub most_bytes: u64,
    /// Analyses at once.
    pub workers: u32,
    /// How long an analysis may run.
    pub analysis_time: Duration,
    /// Bounds of an analysis.
    pub bounds: Bounds,
    /// Workers that may be lost with a task.
    pub failures: u64,
    /// How long a claim lasts.
    pub lease: Duration,
    /// A file with the key of pseudonyms, if reports are redacted.
    pub redaction_key: Option<PathBuf>,
    /// How captures are reached.
    pub live: Option<LiveSettings>,
}

/// A shorter lease would lapse while its holder waits for the database.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// With less, the program itself does not fit: every analysis would fail, whatever the file.
const LEAST_WORKER_MEMORY: u64 = 128 << 20;

/// Limits of uploads.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// Bytes of one.
    pub bytes: u64,
    /// Files of one.
    pub files: u32,
    /// Tasks that may wait.
    pub queue: u64,
    /// Uploads per minute and client.
    pub per_minute: u32,
    /// How long a client may be silent.
    pub silence: Duration,
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that stay free.
    pub min_free: u64,
}

/// All errors of the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl SettingsError {
    pub(crate) const fn new(wrong: Vec<String>) -> Self {
        Self(wrong)
    }
}

impl Layer {
    /// Checks every value; all errors are reported at once.
    ///
    /// # Errors
    /// The errors, one per line.
    pub fn check(&self) -> Result<Settings, SettingsError> {
        let mut values = Values::new(self);
        let settings = self.checked(&mut values);
        match (settings, values.wrong.is_empty()) {
            (Some(settings), true) => Ok(settings),
            _ => Err(SettingsError(values.wrong)),
        }
    }

    fn checked(&self, values: &mut Values<'_>) -> Option<Settings> {
        let listen = values.address("listen").flatten();
        if self.get("listen").is_empty() {
            values.wrong("listen", "give an address and a port, as in 127.0.0.1:8000");
        }
        let tls = match (values.file("tls_certificate"), values.file("tls_key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                values.wrong("tls_key", "give tls_certificate and tls_key, or neither");
                None
            }
        };
        let access = access::check(values);
        if let (Some(listen), Some(access)) = (listen, &access) {
            access::check_reachable(values, listen, tls.is_some(), access);
        }
        let log_level = values.check("log_level", |text| {
            tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned())
        });
        let log_json = values.check("log_format", |text| match text {
            "text" => Ok(false),
            "json" => Ok(true),
            _ => Err("give text or json"),
        });
        let megabytes: Option<u64> = values.number("max_upload_size_mb", 1);
        let uploads = UploadSettings {
            bytes: megabytes.unwrap_or(1).saturating_mul(1_000_000),
            files: values.number("max_upload_files", 1).unwrap_or(1),
            queue: values.number("max_queue_size", 1).unwrap_or(1),
            per_minute: values.number("uploads_per_minute", 1).unwrap_or(1),
            silence: values.duration("client_timeout").unwrap_or_default(),
            rate: values.size("min_upload_rate").unwrap_or_default(),
            min_free: values.size_or_zero("min_free").unwrap_or_default(),
        };
        let analysis_time = values.duration("analysis_time").unwrap_or_default();
        let bounds = Bounds {
            memory: values.size("worker_memory").unwrap_or_default(),
            cpu_seconds: analysis_time.as_secs().max(1),
            file_bytes: values.size("max_output_size").unwrap_or_default(),
            unpacked_bytes: values.size("max_unpacked_size").unwrap_or_default(),
            ratio: values.number("max_unpacked_ratio", 1).unwrap_or(1),
            packets: values.number("max_packets", 1).unwrap_or(1),
        };
        if bounds.memory > 0 && bounds.memory < LEAST_WORKER_MEMORY {
            values.wrong(
                "worker_memory",
                "give at least 128MiB: the program itself needs most of it",
            );
        }
        let hours =
            |hours: Option<u64>| Duration::from_secs(hours.unwrap_or(1).saturating_mul(3600));
        let database = storage::database(values);
        let bucket = storage::bucket(values);
        let live = live::check(values);
        let (session, keep) = (
            hours(values.number("session_hours", 1)),
            hours(values.number("report_ttl_hours", 1)),
        );
        let metrics = values.address("metrics").flatten();
        let most_bytes = values.size("max_reports_size").unwrap_or_default();
        let workers = workers(values.number("workers", 0).unwrap_or_default());
        let failures = values.number("max_attempts", 1).unwrap_or(1);
        let lease = values.duration("lease").unwrap_or_default();
        if !lease.is_zero() && lease < SHORTEST_LEASE {
            values.wrong(
                "lease",
                "give at least 1s: a claim is extended three times within it",
            );
        }
        Some(Settings {
            listen: listen?,
            tls,
            access: access?,
            session,
            metrics,
            log_level: log_level?,
            log_json: log_json?,
            data_dir: storage::data_dir(&self.get("data_dir")),
            database: database?,
            bucket,
            uploads,
            keep,
            most_bytes,
            workers,
            analysis_time,
            bounds,
            failures,
            lease,
            redaction_key: values.file("redaction_key_file"),
            live,
        })
    }
}

fn workers(number: u32) -> u32 {
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match number {
        0 => u32::try_from(processors().div_ceil(2)).unwrap_or(1),
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Layer {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_known_names_have_their_known_defaults() {
        let settings = Layer::default().check().unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.uploads.bytes, 500_000_000);
        assert_eq!(settings.uploads.queue, 5);
        assert_eq!(settings.keep, Duration::from_secs(24 * 3600));
        assert_eq!(settings.log_level, "INFO");
        let variable = |name: &str| ALL.iter().find(|one| one.variable == name).is_some();
        for name in [
            "MAX_UPLOAD_SIZE_MB",
            "REPORT_TTL_HOURS",
            "DATA_DIR",
            "LOG_LEVEL",
            "MAX_QUEUE_SIZE",
        ] {
            assert!(variable(name), "{name}");
        }
    }

    #[test]
    fn no_bytes_have_to_stay_free_where_0_is_given() {
        let settings = file("min_free = 0").check().unwrap();
        assert_eq!(settings.uploads.min_free, 0);
        let settings = file("min_free = '0'").check().unwrap();
        assert_eq!(settings.uploads.min_free, 0);
        let error = file("min_free = 5").check().unwrap_err().to_string();
        assert!(error.contains("unit"), "{error}");
    }

    #[test]
    fn a_worker_gets_the_memory_that_the_program_needs() {
        assert!(file("worker_memory = '128MiB'").check().is_ok());
        let error = file("worker_memory = '64MiB'").check().unwrap_err();
        assert!(error.to_string().contains("at least 128MiB"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let wrong = file(
            "listen = 'here'\nlog_format = 'xml'\nmax_queue_size = 0\nlease = '60'\nworker_memory = 'much'\n\
             tls_key = '/k'\ndatabase = 'mysql://a'\nproxy_role = 'king'\nlive = 'perhaps'",
        );
        let error = wrong.check().unwrap_err().to_string();
        for part in [
            "listen",
            "log_format",
            "max_queue_size",
            "lease",
            "worker_memory",
            "tls_key",
            "database",
            "proxy_role",
            "live",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_tls_and_accounts_unless_asked_for_by_name() {
        let error = |text: &str| file(text).check().unwrap_err().to_string();
        let open = error("listen = '0.0.0.0:8000'");
        for part in [
            "tls_certificate",
            "without_tls",
            "accounts",
            "without_accounts",
        ] {
            assert!(open.contains(part), "{part}: {open}");
        }
        let asked = "listen = '0.0.0.0:8000'\nwithout_tls = true\nwithout_accounts = true";
        assert!(file(asked).check().is_ok());
    }

    #[test]
    fn the_upper_layer_decides_and_unknown_keys_are_rejected() {
        let settings = file("max_queue_size = 2").over(file("max_queue_size = 3\nworkers = 7"));
        let settings = settings.check().unwrap();
        assert_eq!((settings.uploads.queue, settings.workers), (2, 7));
        assert!(toml::from_str::<Layer>("max_queue = 1").is_err());
    }

    #[test]
    fn the_documented_file_is_the_defaults() {
        let settings = file(&documented());
        for described in ALL {
            assert_eq!(settings.get(described.name), described.default);
        }
        assert!(settings.check().is_ok());
    }
}
