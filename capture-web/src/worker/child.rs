//! The child's side: read the order, give up every right that it does not need, work, answer.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    thread,
};

use anyhow::{Context as _, Result};

use super::{
    analyse, extract, merge,
    order::{Answer, Order, Work},
    sandbox,
};

/// A longer order is not one.
const LONGEST_ORDER: u64 = 1 << 20;

/// Runs the worker.
///
/// # Errors
/// The order cannot be understood, or the process cannot give up its rights.
pub fn run() -> Result<()> {
    let mut line = String::new();
    let mut stdin = io::BufReader::new(io::stdin().take(LONGEST_ORDER));
    stdin.read_line(&mut line).context("reading the order")?;
    let order: Order = serde_json::from_str(&line).context("understanding the order")?;
    sandbox::enter(&order).context("giving up rights")?;
    // After the sandbox: threads inherit it.
    thread::Builder::new()
        .name("parent".to_owned())
        .spawn(end_with_parent)
        .context("starting a thread")?;
    let result = match &order.work {
        Work::Analyse { redaction_key } => analyse::run(&order, redaction_key.as_deref(), progress),
        Work::Extract { finding } => extract::run(&order, finding, progress),
        Work::Merge => merge::run(&order),
    };
    say(&match result {
        Ok(summary) => Answer::Done(summary),
        Err(failure) => Answer::Failed(failure),
    })
}

fn progress(packets: u64, bytes: u64) {
    // If nobody listens, the process is about to end.
    let _ = say(&Answer::Progress { packets, bytes });
}

fn say(answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).context("answering")?;
    out.flush().context("answering")
}

/// Waits for the end of stdin, which the server holds open, and ends the process.
fn end_with_parent() {
    let mut byte = [0; 64];
    loop {
        match io::stdin().read(&mut byte) {
            Ok(0) | Err(_) => std::process::exit(1),
            Ok(_) => {}
        }
    }
}
