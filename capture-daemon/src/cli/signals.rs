//! Signals to a recording process: the first ends it in order, the second at once; others request
//! something or are ignored.

use std::{io, process, sync::Arc, time::Duration};

use capture_args::console::tell;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::summary;
use crate::signals::EndSignals;
use capture_pipeline::drain::DrainState;
use capture_session::{Control, EndReason, Monitor};

/// The shell's exit code for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// How long skippable work may take to end by itself after the second signal.
const LAST_MOMENT: Duration = Duration::from_millis(300);

pub(super) struct Signals {
    first: oneshot::Receiver<()>,
}

impl Signals {
    pub(super) fn new(drain: Arc<DrainState>) -> io::Result<Self> {
        let mut ends = EndSignals::new()?;
        let (sender, first) = oneshot::channel();
        tokio::spawn(async move {
            ends.next().await;
            // The capture may have ended by itself.
            let _ = sender.send(());
            ends.next().await;
            drain
                .abort
                .store(true, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(LAST_MOMENT).await;
            tell(
                "captured: stopped at once; the file being written stays as .part, readable up to its last \
                 whole packet",
            );
            process::exit(INTERRUPTED);
        });
        Ok(Self { first })
    }

    /// Returns on the first signal.
    pub(super) async fn first(self) -> EndReason {
        match self.first.await {
            Ok(()) => EndReason::Stopped,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Handles SIGUSR1 by printing the ledger to stderr, and SIGUSR2 by finishing the file.
pub(super) fn answer(monitor: Arc<Monitor>, control: Control) -> io::Result<()> {
    let mut ledger = signal(SignalKind::user_defined1())?;
    let mut finish_file = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = ledger.recv() => {
                    let interfaces = monitor.report();
                    tell(summary::ledgers(&interfaces, &monitor.ledger()));
                }
                _ = finish_file.recv() => if control.finish_file().await.is_err() {
                    // The capture has ended, and with it the file.
                    return;
                },
            }
        }
    });
    Ok(())
}

/// Ignores the other signals that would end the process abruptly. After SIGXFSZ, the write fails with
/// EFBIG and is counted.
pub(super) fn ignore_others() -> io::Result<()> {
    let kinds = [
        SignalKind::alarm(),
        SignalKind::io(),
        SignalKind::pipe(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::from_raw(rustix::process::Signal::VTALARM.as_raw()),
        SignalKind::from_raw(rustix::process::Signal::PROF.as_raw()),
        SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()),
    ];
    for kind in kinds {
        // A signal that tokio has caught once stays caught.
        drop(signal(kind)?);
    }
    Ok(())
}
