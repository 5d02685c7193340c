//! The common setup of most attacks: a daemon, and a capture whose packets are counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use capture_proto::v1;
use capture_tests::{
    capture_file,
    daemon::{Client, Daemon, spec, wrote_all},
    netns::Pair,
    scene::{numbered_frames, send_through},
};

/// Time limit for any answer of the daemon during an attack. The goal is 100 ms on an otherwise idle machine.
pub(crate) const ANSWER: Duration = Duration::from_secs(1);

pub(crate) const MEBIBYTE: u64 = 1 << 20;

/// The capture that runs during an attack.
pub(crate) const STEADY: &str = "steady";

/// A daemon in `pair.b` with a capture of `eth0`, which receives all numbered frames.
pub(crate) struct Scene {
    pub(crate) pair: Pair,
    pub(crate) daemon: Daemon,
    pub(crate) client: Client,
    sent: u64,
}

impl Scene {
    pub(crate) fn new(arguments: &[&str]) -> Result<Self> {
        let pair = Pair::new()?;
        let daemon = Daemon::start(&pair.b, arguments)?;
        Self::with(pair, daemon, spec("eth0", ""))
    }

    /// A scene with a daemon and a capture of the caller's.
    pub(crate) fn with(pair: Pair, daemon: Daemon, spec: v1::CaptureSpec) -> Result<Self> {
        let client = daemon.client()?;
        client.start(STEADY, spec)?;
        let mut scene = Self {
            pair,
            daemon,
            client,
            sent: 0,
        };
        scene.send(100)?;
        Ok(scene)
    }

    /// Sends this many frames into the capture.
    pub(crate) fn send(&mut self, count: u64) -> Result<()> {
        send_through(&self.pair, &numbered_frames(self.sent..self.sent + count))?;
        self.sent += count;
        Ok(())
    }

    /// Adds frames that others have sent through the pair.
    pub(crate) fn sent_beside(&mut self, count: u64) {
        self.sent += count;
    }

    /// Sends more, ends the capture and the daemon, and compares ledger and files with the sender's
    /// count.
    pub(crate) fn end(mut self) -> Result<String> {
        self.send(100)?;
        let capture = self.client.stop(STEADY)?;
        wrote_all(&capture, self.sent)?;
        let files = packets_in(&self.daemon.files(STEADY))?;
        ensure!(
            files == self.sent,
            "{files} of {} sent are in files",
            self.sent
        );
        let (ended, _directory) = self.daemon.end()?;
        ensure!(
            ended.status.success(),
            "the daemon ended with {}",
            ended.status
        );
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        let sent = self.sent;
        Ok(format!("sent {sent}, ledger {sent}, files {files}"))
    }

    /// Requests the node repeatedly, until told to end.
    pub(crate) fn probe(&self) -> Result<Probe> {
        let client = self.daemon.client()?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || -> Result<Duration> {
            let mut longest = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let mut request = tonic::Request::new(v1::GetNodeRequest {});
                request.set_timeout(Duration::from_secs(60));
                client.wait(client.node.clone().get_node(request))?;
                longest = longest.max(asked.elapsed());
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(longest)
        });
        Ok(Probe { over, thread })
    }
}

/// Measures response times.
pub(crate) struct Probe {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Duration>>,
}

impl Probe {
    /// Fails if an answer took too long.
    pub(crate) fn end(self) -> Result<String> {
        self.over.store(true, Ordering::Relaxed);
        let joined = self
            .thread
            .join()
            .map_err(|_| anyhow!("the probe panicked"))?;
        let longest = joined.context("GetNode beside the attack")?;
        ensure!(longest < ANSWER, "GetNode took {longest:?}");
        Ok(format!("GetNode within {} ms", longest.as_millis().max(1)))
    }
}

/// Packets in the finished files of a directory.
pub(crate) fn packets_in(directory: &std::path::Path) -> Result<u64> {
    let mut packets = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_finished = !name.ends_with(".part") && name.contains(".pcap");
        if is_finished && std::fs::symlink_metadata(&path)?.is_file() {
            let contents = capture_file::read(&path);
            let contents = contents.with_context(|| format!("reading {}", path.display()))?;
            packets += contents.packets.len() as u64;
        }
    }
    Ok(packets)
}

/// The status with which a call was rejected.
pub(crate) fn refusal<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, tonic::Status>,
    codes: &[tonic::Code],
) -> Result<tonic::Status> {
    match answer {
        Ok(answer) => Err(anyhow!("accepted: {:.200}", format!("{answer:?}"))),
        Err(status) if codes.contains(&status.code()) => Ok(status),
        Err(status) => Err(anyhow!(
            "refused with {:?} instead of {codes:?}: {:.300}",
            status.code(),
            status.message()
        )),
    }
}

/// Fails if the daemon has used more memory than this since.
pub(crate) fn memory_within(daemon: &Daemon, before: u64, most: u64) -> Result<String> {
    let grown = daemon.peak_memory()?.saturating_sub(before) / MEBIBYTE;
    ensure!(grown * MEBIBYTE <= most, "memory grew by {grown} MiB");
    Ok(format!("{grown} MiB of memory at most"))
}
