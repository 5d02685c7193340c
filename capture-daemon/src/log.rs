//! The daemon's log, and changing its level while it runs.

use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

use crate::{audit, cut::cut};

mod authority;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A handle for changing the log level.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

/// The log setting cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("log {text:?}: {reason}; use error, warn, info, debug, trace, or a filter as for RUST_LOG")]
pub struct LogError {
    text: String,
    reason: String,
}

/// Fails for a text that [`start`] and [`LogLevel::set`] do not accept.
pub fn check(text: &str) -> Result<(), LogError> {
    parse(text).map(drop)
}

/// A directive without `=` has to be a level: a filter would treat any other word as the name of a
/// target, and log nothing else.
fn is_level_or_target(directive: &str) -> bool {
    let directive = directive.trim();
    directive.is_empty()
        || directive.contains(['=', '['])
        || directive.parse::<LevelFilter>().is_ok()
}

fn parse(text: &str) -> Result<EnvFilter, LogError> {
    let failed = |reason: String| LogError {
        text: cut(text, 100).into_owned(),
        reason,
    };
    if text.trim().is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    if let Some(word) = text.split(',').find(|part| !is_level_or_target(part)) {
        let word = cut(word.trim(), 40);
        return Err(failed(format!(
            "{word:?} is not a level; for a target write {word}=debug"
        )));
    }
    EnvFilter::try_new(text).map_err(|error| failed(error.to_string()))
}

/// Starts logging to stderr. Audit lines are written at any level.
pub fn start(text: &str, format: Format) -> Result<LogLevel, LogError> {
    let (filter, handle) = reload::Layer::new(parse(text)?);
    let audit = Targets::new().with_target(audit::TARGET, tracing::Level::INFO);
    // A stderr that cannot be written to must not end a capture, which reporting the error there
    // would.
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let lines = match format {
        Format::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(colours).with_target(false).boxed()
        }
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.or(audit)))
        .with(authority::layer())
        .init();
    Ok(LogLevel {
        handle,
        text: Arc::new(Mutex::new(text.to_owned())),
    })
}

impl LogLevel {
    /// The current setting.
    #[must_use]
    pub fn get(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes the setting; returns the old one.
    pub fn set(&self, text: &str) -> Result<String, String> {
        let filter = parse(text).map_err(|error| error.to_string())?;
        self.handle
            .reload(filter)
            .map_err(|error| error.to_string())?;
        let mut now = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut *now, text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_word_that_is_not_a_level_is_refused_with_the_way_out() {
        for text in [
            "info",
            "INFO,h2=debug",
            "off",
            "info,[span]=trace",
            "warn,h2=error",
        ] {
            check(text).expect(text);
        }
        for text in ["loud", "info,loud", "", " ", "h2=loud"] {
            assert!(check(text).is_err(), "{text}");
        }
        let error = check("loud").expect_err("not a level").to_string();
        assert!(error.contains("loud=debug"), "{error}");
    }
}
