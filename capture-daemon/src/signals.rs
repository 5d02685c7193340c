//! The signals that end the program in order: SIGINT, SIGTERM, and SIGHUP, which a terminal that closes
//! sends.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for them. As long as this lives they do nothing else.
pub struct Ends {
    interrupt: Signal,
    terminate: Signal,
    /// None under nohup(1), which wants the program to go on without its terminal.
    hang_up: Option<Signal>,
}

impl Ends {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn new() -> io::Result<Self> {
        let hang_up = SignalKind::hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if is_ignored(hang_up) {
                None
            } else {
                Some(signal(hang_up)?)
            },
        })
    }

    /// Ends with the next one.
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

/// Whether whoever started the program had it ignore a signal (`SigIgn`, proc_pid_status(5)).
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}

/// The signals that are ignored: bit 0 is signal 1.
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
