//! What the daemon logs, and changing that while it runs.

use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, Targets},
    fmt,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

use crate::audit;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The handle of the level.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

/// What to log cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("log {text:?}: {reason}; use error, warn, info, debug, trace, or a filter as for RUST_LOG")]
pub struct LogError {
    text: String,
    reason: String,
}

fn parse(text: &str) -> Result<EnvFilter, LogError> {
    let failed = |reason: String| LogError {
        text: text.to_owned(),
        reason,
    };
    if text.trim().is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    EnvFilter::try_new(text).map_err(|error| failed(error.to_string()))
}

/// Starts logging to stderr. Audit lines come whatever the level.
pub fn start(text: &str, format: Format) -> Result<LogLevel, LogError> {
    let (filter, handle) = reload::Layer::new(parse(text)?);
    let audit = Targets::new().with_target(audit::TARGET, tracing::Level::INFO);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(colours).with_target(false).boxed()
        }
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.or(audit)))
        .init();
    Ok(LogLevel {
        handle,
        text: Arc::new(Mutex::new(text.to_owned())),
    })
}

impl LogLevel {
    /// What is logged now.
    #[must_use]
    pub fn get(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what is logged; what it was before.
    pub fn set(&self, text: &str) -> Result<String, String> {
        let filter = parse(text).map_err(|error| error.to_string())?;
        self.handle
            .reload(filter)
            .map_err(|error| error.to_string())?;
        let mut now = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut *now, text.to_owned()))
    }
}
