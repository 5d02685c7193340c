//! What the tests share: a data directory as a recorder leaves it, and the real program.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use capture_file::{
    Kind, Writer, digest,
    manifest::{CaptureEntry, FileEndReason, FileEntry, Removed},
};
use capture_types::{DigestAlgorithm, SinkName};

/// A data directory.
pub(crate) struct Data {
    pub(crate) directory: tempfile::TempDir,
    captures: BTreeMap<String, Vec<FileEntry>>,
    exports: BTreeMap<String, Vec<SinkName>>,
}

/// 2023-11-14T22:13:20Z, in nanoseconds.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

impl Data {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            captures: BTreeMap::new(),
            exports: BTreeMap::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of a capture.
    pub(crate) fn of(&self, capture: &str) -> PathBuf {
        self.path().join(capture)
    }

    /// Adds a finished file with this many packets of this many bytes; returns its path.
    pub(crate) fn add(&mut self, capture: &str, packets: u64, size: usize) -> PathBuf {
        self.add_with(capture, packets, |path, first| {
            write_capture(path, first, packets, size);
        })
    }

    /// Adds a finished file of so many packets, which is written from its path and the time of its first packet.
    pub(crate) fn add_with(
        &mut self,
        capture: &str,
        packets: u64,
        write: impl FnOnce(&Path, u64),
    ) -> PathBuf {
        let directory = self.of(capture);
        fs::create_dir_all(&directory).unwrap();
        let entries = self.captures.entry(capture.to_owned()).or_default();
        let sequence = entries.last().map_or(1, |entry| entry.sequence + 1);
        let name = format!("{capture}-20231114-221320-{sequence:06}.pcapng");
        let path = directory.join(&name);
        let first = START + sequence * 1_000_000_000;
        write(&path, first);
        entries.push(FileEntry {
            link_types: vec![1],
            packets: Some(packets),
            bytes_uncompressed: Some(fs::metadata(&path).unwrap().len()),
            first: Some(first.into()),
            last: Some((first + packets).into()),
            digest: Some(digest(File::open(&path).unwrap(), DigestAlgorithm::Sha256).unwrap()),
            ended: Some(FileEndReason::Size),
            ..FileEntry::unknown(name, sequence, fs::metadata(&path).unwrap().len())
        });
        self.publish(capture);
        path
    }

    /// Names the sinks that get the files of a capture; its manifest has them.
    pub(crate) fn export(&mut self, capture: &str, sinks: &[&str]) {
        let sinks = sinks.iter().map(|sink| sink.parse().unwrap()).collect();
        self.exports.insert(capture.to_owned(), sinks);
        if self.captures.contains_key(capture) {
            self.publish(capture);
        }
    }

    /// Changes the entries of a capture, and writes its manifest.
    pub(crate) fn edit(&mut self, capture: &str, change: impl FnOnce(&mut Vec<FileEntry>)) {
        change(self.captures.entry(capture.to_owned()).or_default());
        self.publish(capture);
    }

    /// The entries of a capture.
    pub(crate) fn entries(&self, capture: &str) -> &[FileEntry] {
        &self.captures[capture]
    }

    /// Removes the oldest file of a capture, as retention does.
    pub(crate) fn remove_oldest(&mut self, capture: &str) {
        let entry = self.captures.get_mut(capture).unwrap().remove(0);
        fs::remove_file(self.of(capture).join(entry.file)).unwrap();
        self.publish(capture);
    }

    fn publish(&self, capture: &str) {
        let directory = self.of(capture);
        let entries = &self.captures[capture];
        let head = CaptureEntry {
            capture: capture.to_owned(),
            program: "captured test".to_owned(),
            started: START.into(),
            updated: START.into(),
            ended: None,
            failure: None,
            last_sequence: entries.last().map_or(0, |entry| entry.sequence),
            removed: Removed::default(),
            interfaces: Vec::new(),
            export: self.exports.get(capture).cloned().unwrap_or_default(),
        };
        let mut text = serde_json::to_string(&head).unwrap() + "\n";
        for entry in entries {
            text.push_str(&(serde_json::to_string(entry).unwrap() + "\n"));
        }
        let name = format!("{capture}.manifest.jsonl");
        let part = directory.join(format!("{name}.part"));
        fs::write(&part, text).unwrap();
        fs::rename(part, directory.join(name)).unwrap();
    }
}

/// Writes a pcapng file with Ethernet frames of this size.
pub(crate) fn write_capture(path: &Path, first: u64, packets: u64, size: usize) {
    let mut writer = Writer::new(File::create(path).unwrap(), Kind::of(path), "test").unwrap();
    writer
        .interface(&capture_file::Interface::new(1, 0))
        .unwrap();
    for number in 0..packets {
        let mut data = vec![0x5a; size];
        data[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
        writer.packet(&packet(first + number, 0, data)).unwrap();
    }
    writer.finish().unwrap();
}

/// A packet.
pub(crate) fn packet(timestamp: u64, interface: u32, data: Vec<u8>) -> capture_file::PacketBuf {
    capture_file::PacketBuf {
        timestamp,
        interface,
        original_length: u32::try_from(data.len()).unwrap(),
        data,
        flags: None,
        options: Default::default(),
    }
}

/// The program, ready to be started with a configuration.
pub(crate) struct Exporter {
    pub(crate) state: tempfile::TempDir,
    pub(crate) config: PathBuf,
    environment: Vec<(String, String)>,
}

impl Exporter {
    /// `sinks`: the part of the configuration about sinks.
    pub(crate) fn new(data: &Path, sinks: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config = state.path().join("config.toml");
        let text = format!(
            "data_dir = {data:?}\nstate_dir = {:?}\ncluster = 'c'\nnode = 'n'\nnamespace = 's'\n\
             interval = '100ms'\nlongest_wait = '500ms'\nmetrics = ''\n{sinks}",
            state.path().join("state")
        );
        fs::write(&config, text).unwrap();
        Self {
            state,
            config,
            environment: Vec::new(),
        }
    }

    /// The directory of checkpoints.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Sets variables of the environment.
    pub(crate) fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(variables);
        self
    }

    /// A command of the program with this configuration.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capture-export"));
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What a command prints, and how it ends.
    pub(crate) fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command prints to stdout; it must succeed.
    pub(crate) fn prints(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts `run`.
    pub(crate) fn run(&self) -> Running {
        Running::start(self.command(&["run"]))
    }

    /// The checkpoint of a sink.
    pub(crate) fn checkpoint(&self, sink: &str) -> Option<capture_file::checkpoint::Checkpoint> {
        let path = self.state_dir().join(format!("{sink}.checkpoint.json"));
        capture_file::checkpoint::Checkpoint::read(&path).unwrap()
    }

    /// Files that were delivered to a sink.
    pub(crate) fn delivered(&self, sink: &str) -> u64 {
        self.checkpoint(sink)
            .map_or(0, |checkpoint| checkpoint.delivered.files)
    }
}

/// A running program, killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a command, and reads its log.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let into = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = into.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            log,
            reader: Some(reader),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What returns its log so far.
    pub(crate) fn log_handle(&self) -> impl Fn() -> String + use<> {
        let log = Arc::clone(&self.log);
        move || log.lock().unwrap().clone()
    }

    /// Waits until something holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl FnMut() -> bool) {
        self.until_within(Duration::from_secs(60), what, holds);
    }

    /// Waits so long until something holds.
    pub(crate) fn until_within(
        &mut self,
        limit: Duration,
        what: &str,
        mut holds: impl FnMut() -> bool,
    ) {
        let end = Instant::now() + limit;
        while !holds() {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "it has ended: {}",
                self.log()
            );
            assert!(Instant::now() < end, "not in time: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub(crate) fn kill(mut self) -> String {
        self.end();
        self.log()
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        self.end();
        (status, self.log())
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it runs on: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.end();
        (status, self.log())
    }

    fn end(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Says that a test cannot run here; fails where `CI` is `true`.
pub(crate) fn skipped(test: &str, reason: &str) {
    capture_tests::gate::cannot_run(&format!("{test}: {reason}")).unwrap();
}

/// All regular files below a directory, by their path in it.
pub(crate) fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Ok(content) = fs::read(&path) {
                let name = path
                    .strip_prefix(directory)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, content);
            }
        }
    }
    found
}
