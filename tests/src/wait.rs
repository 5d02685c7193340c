//! Waits for conditions, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Generous: a test that reaches it has failed, even on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until there is an answer; `what` names in the error what was waited for.
pub fn until<T>(what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, ask)
}

/// Like [`until`], with another time limit.
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > patience {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until the answer is true.
pub fn until_true(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, || Ok(ask()?.then_some(())))
}
