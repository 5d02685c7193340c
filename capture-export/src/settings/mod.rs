//! Settings: from a file, the environment and the command line; the last one that sets a value decides. Sinks are
//! configured in the file.

mod sinks;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use capture_types::{MAX_SINKS, SinkName};
use clap::Args;
use serde::{Deserialize, Serialize};

pub use sinks::SinkSettings;

use crate::file::Origin;

/// One layer of settings. The same names are used in the file, with underscores.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The data directory of the recorder [default: /var/lib/packet-captures].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "DIR",
        env = "CAPTURE_EXPORT_DATA_DIR"
    )]
    pub data_dir: Option<PathBuf>,
    /// Directory of checkpoints; only this program writes to it [default: /var/lib/capture-export].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "DIR",
        env = "CAPTURE_EXPORT_STATE_DIR"
    )]
    pub state_dir: Option<PathBuf>,
    /// Name of the cluster or site, for names and documents [default: default].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "NAME",
        env = "CAPTURE_EXPORT_CLUSTER"
    )]
    pub cluster: Option<String>,
    /// Name of the node [default: the host name].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "NAME",
        env = "NODE_NAME"
    )]
    pub node: Option<String>,
    /// Namespace of the recorder [default: default].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "NAME",
        env = "POD_NAMESPACE"
    )]
    pub namespace: Option<String>,
    /// How often the manifests are looked at [default: 2s].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "DURATION",
        env = "CAPTURE_EXPORT_INTERVAL"
    )]
    pub interval: Option<String>,
    /// The longest wait after failures of a sink, before it is tried again [default: 60s].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "DURATION",
        env = "CAPTURE_EXPORT_LONGEST_WAIT"
    )]
    pub longest_wait: Option<String>,
    /// HTTP address of /metrics, /healthz and /readyz; empty for none [default: 127.0.0.1:9100].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "ADDRESS",
        env = "CAPTURE_EXPORT_METRICS"
    )]
    pub metrics: Option<String>,
    /// Port of /metrics, with the address of `metrics`.
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "PORT",
        env = "METRICS_PORT"
    )]
    pub metrics_port: Option<u16>,
    /// Log level: error, warn, info, debug, trace, or a filter as for RUST_LOG [default: info].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "LEVEL",
        env = "CAPTURE_EXPORT_LOG_LEVEL"
    )]
    pub log_level: Option<String>,
    /// Format of the log: text or json [default: text].
    #[arg(
        long,
        global = true,
        help_heading = "Settings",
        value_name = "FORMAT",
        env = "CAPTURE_EXPORT_LOG_FORMAT"
    )]
    pub log_format: Option<String>,
    /// The sinks, by name: only in the file.
    #[arg(skip)]
    #[serde(default)]
    pub sink: BTreeMap<String, SinkSettings>,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The recorder's data directory.
    pub data_dir: PathBuf,
    /// The directory of checkpoints.
    pub state_dir: PathBuf,
    /// Where files come from.
    pub origin: Origin,
    /// How often manifests are looked at.
    pub interval: Duration,
    /// The longest wait after failures of a sink.
    pub longest_wait: Duration,
    /// Metrics and health over HTTP.
    pub metrics: Option<SocketAddr>,
    /// The log level.
    pub log_level: String,
    /// Whether the log is JSON.
    pub log_json: bool,
    /// The sinks, by name.
    pub sinks: BTreeMap<String, SinkSettings>,
}

/// All errors of the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl Layer {
    /// Reads a file in TOML.
    ///
    /// # Errors
    /// It cannot be read, or has an unknown key or an invalid value.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError(vec![format!("{name}: {error}")]))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            SettingsError(vec![format!("{name}: {}", error.to_string().trim_end())])
        })
    }

    /// Merges this layer with the one below, which applies to unset values.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mut sink = below.sink;
        sink.extend(self.sink);
        Self {
            data_dir: self.data_dir.or(below.data_dir),
            state_dir: self.state_dir.or(below.state_dir),
            cluster: self.cluster.or(below.cluster),
            node: self.node.or(below.node),
            namespace: self.namespace.or(below.namespace),
            interval: self.interval.or(below.interval),
            longest_wait: self.longest_wait.or(below.longest_wait),
            metrics: self.metrics.or(below.metrics),
            metrics_port: self.metrics_port.or(below.metrics_port),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
            sink,
        }
    }

    /// Checks every value; all errors are reported at once.
    ///
    /// # Errors
    /// The errors, one per line.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut wrong = Vec::new();
        let metrics = self.metrics_address(&mut wrong);
        let interval = duration("interval", self.interval.as_deref(), "2s", &mut wrong);
        let longest_wait = duration(
            "longest_wait",
            self.longest_wait.as_deref(),
            "60s",
            &mut wrong,
        );
        let log_level = self.log_level.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log_level) {
            wrong.push(format!(
                "log_level {log_level:?}: {error}; for example \"info\""
            ));
        }
        let log_json = match self.log_format.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                wrong.push(format!("log_format {other:?}: use text or json"));
                false
            }
        };
        // Each has a task and a connection.
        if self.sink.len() > MAX_SINKS {
            wrong.push(format!(
                "sink: {} are configured; use at most {MAX_SINKS}",
                self.sink.len()
            ));
        }
        for (name, sink) in &self.sink {
            if let Err(error) = name.parse::<SinkName>() {
                wrong.push(format!("sink.{name:?}: {error}"));
            }
            wrong.extend(
                sink.problems()
                    .into_iter()
                    .map(|problem| format!("sink.{name}.{problem}")),
            );
        }
        if !wrong.is_empty() {
            return Err(SettingsError(wrong));
        }
        let named = |name: Option<String>| name.filter(|name| !name.is_empty());
        Ok(Settings {
            data_dir: self
                .data_dir
                .unwrap_or_else(|| "/var/lib/packet-captures".into()),
            state_dir: self
                .state_dir
                .unwrap_or_else(|| "/var/lib/capture-export".into()),
            origin: Origin {
                cluster: named(self.cluster).unwrap_or_else(|| "default".to_owned()),
                node: named(self.node).unwrap_or_else(host_name),
                namespace: named(self.namespace).unwrap_or_else(|| "default".to_owned()),
            },
            interval,
            longest_wait,
            metrics,
            log_level,
            log_json,
            sinks: self.sink,
        })
    }

    /// The settings in the form of a file, with every value set.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let duration = |value| Some(humantime::format_duration(value).to_string());
        let metrics = settings.metrics;
        Self {
            data_dir: Some(settings.data_dir.clone()),
            state_dir: Some(settings.state_dir.clone()),
            cluster: Some(settings.origin.cluster.clone()),
            node: Some(settings.origin.node.clone()),
            namespace: Some(settings.origin.namespace.clone()),
            interval: duration(settings.interval),
            longest_wait: duration(settings.longest_wait),
            metrics: Some(metrics.map_or_else(String::new, |address| address.to_string())),
            metrics_port: None,
            log_level: Some(settings.log_level.clone()),
            log_format: Some(if settings.log_json { "json" } else { "text" }.to_owned()),
            sink: settings.sinks.clone(),
        }
    }

    fn metrics_address(&self, wrong: &mut Vec<String>) -> Option<SocketAddr> {
        let text = self.metrics.as_deref();
        if text == Some("") {
            return None;
        }
        let mut address = SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 9100));
        match text.map(str::parse) {
            None => {}
            Some(Ok(given)) => address = given,
            Some(Err(_)) => wrong.push(format!(
                "metrics {:?}: use ADDRESS:PORT, for example 127.0.0.1:9100, or nothing",
                text.unwrap_or_default()
            )),
        }
        if let Some(port) = self.metrics_port {
            address.set_port(port);
        }
        Some(address)
    }
}

const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

fn duration(name: &str, text: Option<&str>, default: &str, wrong: &mut Vec<String>) -> Duration {
    let text = text.unwrap_or(default);
    match humantime::parse_duration(text) {
        Ok(duration) if (MIN_INTERVAL..=MAX_INTERVAL).contains(&duration) => return duration,
        Ok(_) => wrong.push(format!("{name} {text:?}: use 100ms to 1h")),
        Err(error) => wrong.push(format!(
            "{name} {text:?}: {error}; for example \"{default}\""
        )),
    }
    MIN_INTERVAL
}

fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        "node".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::Layer;

    fn file(text: &str) -> Layer {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_upper_layer_decides_and_unknown_keys_are_rejected() {
        let below = file("cluster = 'a'\nnode = 'x'\ninterval = '5s'");
        let above = file("cluster = 'b'\nmetrics_port = 1234");
        let settings = above.over(below).check().unwrap();
        assert_eq!(settings.origin.cluster, "b");
        assert_eq!(settings.origin.node, "x");
        assert_eq!(settings.metrics.unwrap().to_string(), "127.0.0.1:1234");
        assert!(toml::from_str::<Layer>("clutser = 'a'").is_err());
        let sink = "[sink.a]\ntype = 'store'\nurl = 'file:///x'\ncompress = true";
        assert!(toml::from_str::<Layer>(sink).is_err(), "also in sinks");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = "interval = 'soon'\nmetrics = 'here'\nlog_format = 'xml'\n\
                    [sink.'Up/..']\ntype = 'store'\nurl = 'ftp://x'";
        let error = file(text).check().unwrap_err().to_string();
        for part in ["interval", "metrics", "log_format", "Up/..", "ftp"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
