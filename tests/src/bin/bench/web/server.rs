//! The real server, without accounts and with room for every upload.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use capture_tests::{program, usage};
use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

/// Between two looks at the memory of workers.
const LOOK: Duration = Duration::from_millis(2);

/// A running server; ended with this value.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl Server {
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let data = TempDir::new_in(directory)?;
        let mut child = Command::new(program::find("capture-web", "capture-web")?)
            .env_clear()
            .env("DATA_DIR", data.path())
            .env("CAPTURE_WEB_LISTEN", "127.0.0.1:0")
            .env("CAPTURE_WEB_METRICS", "")
            .env("CAPTURE_WEB_LIVE", "false")
            .env("CAPTURE_WEB_UPLOADS_PER_MINUTE", "1000000")
            .env("MAX_UPLOAD_SIZE_MB", "2000")
            .env("MAX_QUEUE_SIZE", "100000")
            .env("LOG_LEVEL", "info")
            .stderr(Stdio::piped())
            .spawn()
            .context("starting capture-web")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next() else {
                let _ = child.wait();
                anyhow::bail!("capture-web ended: {said}");
            };
            said += &(line? + "\n");
            if let Some((_, address)) = said.trim_end().split_once("the page is at http://") {
                break address.parse()?;
            }
        };
        // It must not wait for a reader.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address,
            _data: data,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of the server and of its workers that have ended, in units of a tick (10 ms).
    pub(super) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields 14 to 17 of proc_pid_stat(5), counted after the name, which may have spaces.
        let fields = stat.rsplit_once(')').context("a process without a name")?.1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(
            ticks as f64 / clock_ticks_per_second() as f64,
        ))
    }

    pub(super) fn peak_memory(&self) -> Option<u64> {
        usage::peak_memory(self.child.id())
    }

    /// Does something, and returns the peak memory of the largest worker that was seen meanwhile.
    pub(super) fn watched<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
        let is_done = AtomicBool::new(false);
        let server = self.child.id();
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut peak = None;
                while !is_done.load(Relaxed) {
                    let workers = usage::children(server).into_iter();
                    let memory = workers
                        .filter(|id| is_worker(*id))
                        .filter_map(usage::peak_memory);
                    peak = memory.max().max(peak);
                    thread::sleep(LOOK);
                }
                peak
            });
            let done = work();
            is_done.store(true, Relaxed);
            let peak = watching.join();
            let peak = peak.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((done?, peak))
        })
    }
}

/// Before it is the worker, a child is a copy of the server.
fn is_worker(process: u32) -> bool {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1) == Some(b"worker")
}

impl Drop for Server {
    fn drop(&mut self) {
        // So that it removes what it works with. Both fail only when it has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
