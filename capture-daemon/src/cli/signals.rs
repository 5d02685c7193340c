//! The first signal ends the capture in order, the second at once.

use std::{io, process, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{pipeline::drain::DrainState, session::EndReason, signals::EndSignals};

/// What the shell reports of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// After the second signal, what can be cut short has so long to end by itself.
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
            eprintln!(
                "captured: stopped at once; the file being written stays as .part, readable up to \
                 its last whole packet"
            );
            process::exit(INTERRUPTED);
        });
        Ok(Self { first })
    }

    /// Ends with the first signal.
    pub(super) async fn first(self) -> EndReason {
        match self.first.await {
            Ok(()) => EndReason::Stopped,
            Err(_) => std::future::pending().await,
        }
    }
}
