//! The signals that end the program in order: SIGINT, SIGTERM, and SIGHUP, which a closing terminal sends.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Catches the signals that end the program. They have no other effect as long as this exists.
pub struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it does not end the program: under nohup(1), and in the daemon.
    hang_up: Option<Signal>,
}

impl EndSignals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    ///
    /// The error of sigaction(2).
    pub fn new() -> io::Result<Self> {
        let hang_up = SignalKind::hangup();
        let mut signals = Self::without_hang_up()?;
        if !is_ignored(hang_up) {
            signals.hang_up = Some(signal(hang_up)?);
        }
        Ok(signals)
    }

    /// Catches SIGINT and SIGTERM only, for a program in which SIGHUP has another meaning.
    ///
    /// # Errors
    ///
    /// The error of sigaction(2).
    pub fn without_hang_up() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: None,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        let Self {
            interrupt,
            terminate,
            hang_up,
        } = self;
        let hung_up = async {
            match hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether the program was started with a signal ignored (`SigIgn`, proc_pid_status(5)).
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}

/// The mask of ignored signals: bit 0 is signal 1.
fn ignored(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::ignored;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tcaptured\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), Some(0x1001));
        assert_eq!(ignored("Name:\tcaptured\n"), None);
    }
}
