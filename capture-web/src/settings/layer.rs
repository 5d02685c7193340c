//! The settings as they are written: in a file, in the environment, on the command line.

use std::path::Path;

use clap::Args;
use serde::{Deserialize, Deserializer};

use super::SettingsError;

/// Declares every setting once: its meaning, its variable and its default.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $value:literal, $variable:literal, $default:literal;)+) => {
        /// One layer of settings; the file has the same names with underscores.
        #[derive(Debug, Clone, Default, Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Layer {
            $(
                $(#[doc = $doc])+
                #[arg(long, value_name = $value, env = $variable, hide_env_values = true,
                    num_args = arguments($value), default_missing_value = "true")]
                #[serde(default, deserialize_with = "text")]
                pub(super) $name: Option<String>,
            )+
        }

        /// A setting.
        #[derive(Debug, Clone, Copy)]
        pub struct Described {
            /// Its name in the file.
            pub name: &'static str,
            /// Its variable.
            pub variable: &'static str,
            /// Its default; empty for none.
            pub default: &'static str,
            /// What it means, in lines.
            pub meaning: &'static [&'static str],
        }

        /// Every setting, in the order of the documentation.
        pub const ALL: &[Described] = &[$(Described {
            name: stringify!($name),
            variable: $variable,
            default: $default,
            meaning: &[$($doc),+],
        },)+];

        impl Layer {
            /// Merges this layer with the one below, which applies to unset values.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($name: self.$name.or(below.$name),)+ }
            }

            /// Every set value with its name.
            pub fn set(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$((stringify!($name), self.$name.as_deref()),)+]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
            }
        }
    };
}

settings! {
    /// Address of the page and its API.
    listen: "ADDRESS", "CAPTURE_WEB_LISTEN", "127.0.0.1:8000";
    /// Certificate of the server and its intermediates, PEM. A changed file is used without a restart.
    tls_certificate: "FILE", "CAPTURE_WEB_TLS_CERTIFICATE", "";
    /// The key of that certificate, PEM.
    tls_key: "FILE", "CAPTURE_WEB_TLS_KEY", "";
    /// Serve an address that others can reach without TLS: where a proxy in front has it.
    without_tls: "BOOL", "CAPTURE_WEB_WITHOUT_TLS", "false";
    /// Let everybody who reaches the address do everything.
    without_accounts: "BOOL", "CAPTURE_WEB_WITHOUT_ACCOUNTS", "false";
    /// File with accounts and tokens; `capture-web account` and `capture-web token` print its entries.
    accounts: "FILE", "CAPTURE_WEB_ACCOUNTS", "";
    /// Hours after which a session ends.
    session_hours: "HOURS", "CAPTURE_WEB_SESSION_HOURS", "12";
    /// Header in which a trusted proxy names the user, instead of accounts.
    proxy_user_header: "HEADER", "CAPTURE_WEB_PROXY_USER_HEADER", "";
    /// Header in which the proxy names the user's role: viewer, analyst or admin.
    proxy_role_header: "HEADER", "CAPTURE_WEB_PROXY_ROLE_HEADER", "";
    /// The role of users without that header.
    proxy_role: "ROLE", "CAPTURE_WEB_PROXY_ROLE", "analyst";
    /// Addresses of trusted proxies, separated by commas.
    proxy_addresses: "ADDRESS,...", "CAPTURE_WEB_PROXY_ADDRESSES", "";
    /// HTTP address of /metrics, /healthz and /readyz; empty for none.
    metrics: "ADDRESS", "CAPTURE_WEB_METRICS", "127.0.0.1:9100";
    /// Log level: error, warn, info, debug, trace, or a filter as for RUST_LOG.
    log_level: "LEVEL", "LOG_LEVEL", "INFO";
    /// Format of the log: text or json.
    log_format: "FORMAT", "CAPTURE_WEB_LOG_FORMAT", "text";
    /// Directory for the database, uploads, reports and work in progress; by default /data where it exists, otherwise
    /// ~/.local/share/capture-web.
    data_dir: "DIR", "DATA_DIR", "";
    /// PostgreSQL instead of SQLite, for any number of replicas: postgres://USER@HOST:PORT/NAME.
    database: "URL", "CAPTURE_WEB_DATABASE", "";
    /// File with the password for PostgreSQL.
    database_password_file: "FILE", "CAPTURE_WEB_DATABASE_PASSWORD_FILE", "";
    /// Object storage for uploads and reports instead of the data directory: s3://BUCKET/PREFIX. The credentials come
    /// from the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine.
    bucket: "URL", "CAPTURE_WEB_BUCKET", "";
    /// Address of an S3 server other than Amazon's.
    bucket_endpoint: "URL", "CAPTURE_WEB_BUCKET_ENDPOINT", "";
    /// Megabytes (of 1,000,000 bytes) of an upload, over all its files.
    max_upload_size_mb: "MEGABYTES", "MAX_UPLOAD_SIZE_MB", "500";
    /// Files of an upload.
    max_upload_files: "NUMBER", "CAPTURE_WEB_MAX_UPLOAD_FILES", "64";
    /// Tasks that may wait, uploads in progress included.
    max_queue_size: "NUMBER", "MAX_QUEUE_SIZE", "5";
    /// Uploads per minute of one client.
    uploads_per_minute: "NUMBER", "CAPTURE_WEB_UPLOADS_PER_MINUTE", "30";
    /// How long a client may be silent within a request.
    client_timeout: "DURATION", "CAPTURE_WEB_CLIENT_TIMEOUT", "30s";
    /// Bytes per second that an upload must reach on average, after the first 30 seconds.
    min_upload_rate: "SIZE", "CAPTURE_WEB_MIN_UPLOAD_RATE", "16KiB";
    /// Bytes that stay free on the disk: uploads are refused below. 0 for none.
    min_free: "SIZE", "CAPTURE_WEB_MIN_FREE", "1GiB";
    /// Hours that a report is kept.
    report_ttl_hours: "HOURS", "REPORT_TTL_HOURS", "24";
    /// Bytes of files of all reports together: the oldest are removed beyond.
    max_reports_size: "SIZE", "CAPTURE_WEB_MAX_REPORTS_SIZE", "20GiB";
    /// Analyses that run at once here; 0 for half of the processors.
    workers: "NUMBER", "CAPTURE_WEB_WORKERS", "0";
    /// How long an analysis may run, and how much time of a processor it may use.
    analysis_time: "DURATION", "CAPTURE_WEB_ANALYSIS_TIME", "10m";
    /// Bytes of memory of an analysis.
    worker_memory: "SIZE", "CAPTURE_WEB_WORKER_MEMORY", "4GiB";
    /// Bytes that the files of an analysis may unpack to.
    max_unpacked_size: "SIZE", "CAPTURE_WEB_MAX_UNPACKED_SIZE", "20GiB";
    /// Bytes that each compressed byte may unpack to, beyond the first 64 MiB.
    max_unpacked_ratio: "NUMBER", "CAPTURE_WEB_MAX_UNPACKED_RATIO", "500";
    /// Packets of an analysis.
    max_packets: "NUMBER", "CAPTURE_WEB_MAX_PACKETS", "100000000";
    /// Bytes of a report, and of packets that are extracted or merged.
    max_output_size: "SIZE", "CAPTURE_WEB_MAX_OUTPUT_SIZE", "4GiB";
    /// Workers that may be lost with a task before it is given up.
    max_attempts: "NUMBER", "CAPTURE_WEB_MAX_ATTEMPTS", "5";
    /// How long a task stays claimed by a server that is not heard of.
    lease: "DURATION", "CAPTURE_WEB_LEASE", "30s";
    /// File with a key of at least 16 letters: addresses, names and strings of payload are replaced by pseudonyms in
    /// reports, and packets of findings are not handed out.
    redaction_key_file: "FILE", "CAPTURE_WEB_REDACTION_KEY_FILE", "";
    /// Show and start live captures.
    live: "BOOL", "CAPTURE_WEB_LIVE", "true";
    /// Nodes as HOST:PORT, separated by commas, instead of the daemon of this machine.
    nodes: "HOST:PORT,...", "CAPTURE_WEB_NODES", "";
    /// Socket of the daemon of this machine.
    socket: "FILE", "CAPTURE_WEB_SOCKET", "/run/captured/captured.sock";
    /// Coordinator of a cluster as HOST:PORT, which shows the captures of all its nodes.
    coordinator: "HOST:PORT", "CAPTURE_WEB_COORDINATOR", "";
    /// File with the bearer token for the coordinator, such as a pod's service account token.
    coordinator_token_file: "FILE", "CAPTURE_WEB_COORDINATOR_TOKEN_FILE", "";
    /// Authority that signed the certificates of the nodes or the coordinator, PEM.
    cacert: "FILE", "CAPTURE_WEB_CACERT", "";
    /// The server's certificate for the nodes or the coordinator, PEM.
    cert: "FILE", "CAPTURE_WEB_CERT", "";
    /// The key of that certificate, PEM.
    key: "FILE", "CAPTURE_WEB_KEY", "";
    /// The name in the certificates of the nodes or the coordinator, if different from the host.
    tls_server_name: "NAME", "CAPTURE_WEB_TLS_SERVER_NAME", "";
    /// Connect to nodes without TLS.
    insecure: "BOOL", "CAPTURE_WEB_INSECURE", "false";
}

/// A flag alone means that it is true.
fn arguments(value: &str) -> std::ops::RangeInclusive<usize> {
    let least = usize::from(value != "BOOL");
    least..=1
}

/// A string, number or boolean of TOML as text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(|one| one.as_str()).collect();
            texts
                .ok_or_else(|| serde::de::Error::custom("give a list of strings"))?
                .join(",")
        }
        _ => {
            return Err(serde::de::Error::custom(
                "give a string, a number or a boolean",
            ));
        }
    }))
}

impl Layer {
    /// Reads a file in TOML.
    ///
    /// # Errors
    /// It cannot be read, or has an unknown key or an invalid value.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let wrong = |problem: String| {
            SettingsError::new(vec![format!("{}: {}", path.display(), problem.trim_end())])
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }

    /// The value of a setting, or its default.
    pub(super) fn get(&self, name: &str) -> String {
        let set = self.set().find(|(of, _)| *of == name);
        let default = ALL.iter().find(|described| described.name == name);
        set.map(|(_, value)| value)
            .or(default.map(|described| described.default))
            .unwrap_or_default()
            .to_owned()
    }
}

/// All settings with their meanings, as a file to start from.
#[must_use]
pub fn documented() -> String {
    let mut text = String::new();
    for described in ALL {
        for line in described.meaning {
            text += &format!("#{line}\n");
        }
        let flag = described.name.replace('_', "-");
        text += &format!("# Environment: {}. Flag: --{flag}.\n", described.variable);
        text += &format!("{} = {:?}\n\n", described.name, described.default);
    }
    text.trim_end().to_owned() + "\n"
}
