//! The status line of a running capture.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use capture_args::console::tell;
use capture_session::Monitor;
use tokio::{sync::oneshot, task::JoinHandle, time::interval};

pub(super) struct Live {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// Reports that the capture runs; on a terminal, keeps a status line up to date.
pub(super) fn start(monitor: Arc<Monitor>, place: &str, quiet: bool) -> Live {
    if quiet {
        return Live {
            stop: None,
            task: None,
        };
    }
    let interfaces = monitor.interfaces();
    let on = match interfaces.as_slice() {
        [] => "no interface yet".to_owned(),
        few if few.len() <= 8 => few.join(", "),
        many => format!("{} interfaces", many.len()),
    };
    tell(format_args!("recording {on} into {place}; Ctrl-C stops"));
    if !stderr().is_terminal() {
        return Live {
            stop: None,
            task: None,
        };
    }
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(show(monitor, stopped));
    Live {
        stop: Some(stop),
        task: Some(task),
    }
}

impl Live {
    pub(super) async fn finish(self) {
        if let (Some(stop), Some(task)) = (self.stop, self.task) {
            // If the receiver is gone, the task has ended already.
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

async fn show(monitor: Arc<Monitor>, mut stopped: oneshot::Receiver<()>) {
    let mut seconds = interval(Duration::from_secs(1));
    let mut before = (Instant::now(), monitor.ledger().matched);
    loop {
        tokio::select! {
            _ = seconds.tick() => {
                let now = (Instant::now(), monitor.ledger().matched);
                let elapsed = now.0.duration_since(before.0).as_secs_f64().max(0.001);
                let rate = (now.1 - before.1) as f64 / elapsed;
                before = now;
                print(&format!("\r\x1b[K{}", line(&monitor, rate)));
            }
            _ = &mut stopped => break print("\r\x1b[K"),
        }
    }
}

fn line(monitor: &Monitor, rate: f64) -> String {
    let progress = monitor.progress();
    format!(
        "{rate:.0} packets/s, {} packets and {} written, {} lost, {}",
        progress.packets(),
        ByteSize(progress.bytes()).display().iec(),
        monitor.ledger().lost(),
        progress.file().unwrap_or_else(|| "no file open".to_owned()),
    )
}

fn print(text: &str) {
    // A closed terminal is no reason to stop recording.
    let _ = stderr().write_all(text.as_bytes());
    let _ = stderr().flush();
}
