//! The web server: from the upload of a file to its report, compared with `capturectl analyze` and tshark on the same
//! file in the same run; uploads of several clients at once; memory.

mod client;
mod server;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::client as capturectl;
use serde::Serialize;

use crate::{Arguments, analyze, median};
use client::Client;
use server::Server;

/// All measurements of the server.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    /// One file at a time.
    pub(crate) files: Vec<Row>,
    /// Several at once.
    pub(crate) together: Vec<Together>,
}

/// What it took to report on one file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) program: String,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Wall time from the first byte sent to the report.
    pub(crate) seconds: f64,
    /// Until the upload was accepted.
    pub(crate) upload_seconds: Option<f64>,
    /// CPU time of all processes.
    pub(crate) cpu_seconds: f64,
    /// Peak memory of the process that reads the file; `None`: it had ended before it was seen.
    pub(crate) memory: Option<u64>,
    /// Peak memory of the server.
    pub(crate) server_memory: Option<u64>,
}

/// Uploads of several clients at once.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Together {
    pub(crate) clients: u32,
    pub(crate) uploads: u32,
    /// Bytes of each file.
    pub(crate) bytes: u64,
    /// From the first byte to the last upload accepted.
    pub(crate) upload_seconds: f64,
    /// From the first byte to the last report.
    pub(crate) seconds: f64,
    /// Peak memory of the largest worker.
    pub(crate) memory: Option<u64>,
    /// Peak memory of the server.
    pub(crate) server_memory: Option<u64>,
}

pub(crate) const OURS: &str = "capture-web";
pub(crate) const COMMAND: &str = "capturectl analyze";
pub(crate) const TSHARK: &str = "tshark -q -z conv,tcp -z io,stat,1";

/// Bytes of a packet in the files, on average.
const PACKET: u64 = 856;
const MEGABYTE: u64 = 1_000_000;
/// Between two questions for the end of a task.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn measure(arguments: &Arguments) -> Result<Measured> {
    let mut measured = Measured::default();
    let sizes: &[u64] = if arguments.quick {
        &[1, 100]
    } else {
        &[1, 100, 1000]
    };
    for megabytes in sizes {
        let file = File::write(arguments, megabytes * MEGABYTE)?;
        measured.files.push(report(arguments, &file)?);
        measured.files.extend(peers(arguments, &file)?);
    }
    let small = File::write(arguments, MEGABYTE / 10)?;
    let (many, large) = if arguments.quick { (50, 1) } else { (500, 100) };
    for clients in [1, 10] {
        measured
            .together
            .push(together(arguments, &small, clients, many)?);
    }
    drop(small);
    let large = File::write(arguments, large * MEGABYTE)?;
    measured.together.push(together(arguments, &large, 10, 10)?);
    Ok(measured)
}

/// A capture file, removed with this value.
struct File {
    path: PathBuf,
    bytes: u64,
}

impl File {
    fn write(arguments: &Arguments, bytes: u64) -> Result<Self> {
        let packets = u32::try_from(bytes / PACKET).context("too large a file")?;
        let path = arguments.directory.join("capture-bench-web.pcap");
        let flows = (packets / 40).clamp(1, 2000);
        analyze::write(&path, packets, flows, usize::MAX)?;
        let bytes = path.metadata()?.len();
        Ok(Self { path, bytes })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What stays is overwritten by the next file.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn report(arguments: &Arguments, file: &File) -> Result<Row> {
    let server = Server::start(&arguments.directory)?;
    let (mut uploads, mut reports, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak = None;
    for _ in 0..arguments.repeat() {
        let (before, begun) = (server.cpu()?, Instant::now());
        let ((uploaded, reported), workers) = server.watched(|| {
            let mut client = Client::connect(server.address())?;
            let task = client.upload(&file.path)?;
            let uploaded = begun.elapsed();
            wait(&mut client, &task)?;
            Ok((uploaded.as_secs_f64(), begun.elapsed().as_secs_f64()))
        })?;
        uploads.push(uploaded);
        reports.push(reported);
        cpu.push((server.cpu()? - before).as_secs_f64());
        peak = workers.max(peak);
    }
    Ok(Row {
        program: OURS.to_owned(),
        bytes: file.bytes,
        seconds: median(reports).context("nothing measured")?,
        upload_seconds: median(uploads),
        cpu_seconds: median(cpu).context("nothing measured")?,
        memory: peak,
        server_memory: server.peak_memory(),
    })
}

/// Waits for the report of a task.
fn wait(client: &mut Client, task: &str) -> Result<()> {
    loop {
        let answer = client.get(&format!("/api/v1/tasks/{task}"))?;
        match answer["state"].as_str() {
            Some("done") => return Ok(()),
            Some("failed") | None => anyhow::bail!("no report: {answer}"),
            Some(_) => thread::sleep(LOOK),
        }
    }
}

fn peers(arguments: &Arguments, file: &File) -> Result<Vec<Row>> {
    let capturectl = capturectl::program()?;
    let capturectl = capturectl.to_str().context("a path that is not UTF-8")?;
    let path = file.path.to_str().context("a path that is not UTF-8")?;
    let mut tshark: Vec<&str> = TSHARK.split(' ').collect();
    tshark.extend(["-n", "-r", path]);
    let measure = |(name, command): (&str, Vec<&str>)| {
        let (mut seconds, mut cpu, mut memory) = (Vec::new(), Vec::new(), None);
        for _ in 0..arguments.repeat() {
            let (time, used) =
                analyze::run(&command).with_context(|| format!("measuring {name}"))?;
            seconds.push(time);
            cpu.push(used.cpu.as_secs_f64());
            memory = memory.max(Some(used.memory));
        }
        Ok(Row {
            program: name.to_owned(),
            bytes: file.bytes,
            seconds: median(seconds).context("nothing measured")?,
            upload_seconds: None,
            cpu_seconds: median(cpu).context("nothing measured")?,
            memory,
            server_memory: None,
        })
    };
    let ours = vec![capturectl, "analyze", path, "-o", "json"];
    [(COMMAND, ours), (TSHARK, tshark)]
        .into_iter()
        .map(measure)
        .collect()
}

/// Each client sends its share of the uploads, one after the other.
fn together(arguments: &Arguments, file: &File, clients: u32, uploads: u32) -> Result<Together> {
    let server = Server::start(&arguments.directory)?;
    let begun = Instant::now();
    let ((upload_seconds, seconds), memory) = server.watched(|| {
        let tasks = upload_all(&server, &file.path, clients, uploads / clients)?;
        let uploaded = begun.elapsed().as_secs_f64();
        ensure!(tasks.len() == uploads as usize, "{} uploads", tasks.len());
        let mut client = Client::connect(server.address())?;
        for task in &tasks {
            wait(&mut client, task)?;
        }
        Ok((uploaded, begun.elapsed().as_secs_f64()))
    })?;
    Ok(Together {
        clients,
        uploads,
        bytes: file.bytes,
        upload_seconds,
        seconds,
        memory,
        server_memory: server.peak_memory(),
    })
}

fn upload_all(server: &Server, file: &Path, clients: u32, each: u32) -> Result<Vec<String>> {
    let client = || -> Result<Vec<String>> {
        let mut client = Client::connect(server.address())?;
        (0..each).map(|_| client.upload(file)).collect()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let mut tasks = Vec::new();
        for one in running {
            let done = one.join();
            tasks.extend(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(tasks)
    })
}
