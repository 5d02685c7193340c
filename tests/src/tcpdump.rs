//! tcpdump, the peer that the recorder must agree with.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    capture_file::{self, Packet},
    netns::Namespace,
    process::Process,
    wait,
};

/// A running tcpdump.
#[derive(Debug)]
pub struct Tcpdump {
    process: Process,
    file: PathBuf,
    _directory: TempDir,
}

impl Tcpdump {
    /// Starts tcpdump and waits until it captures. It writes whole packets with nanoseconds, each
    /// immediately.
    pub fn start(namespace: &Namespace, interface: &str, arguments: &[&str]) -> Result<Self> {
        let directory = TempDir::new()?;
        let file = directory.path().join("peer.pcap");
        let mut command = Command::new("tcpdump");
        command
            .args(["-i", interface, "-n", "-p", "--nano", "-s", "0", "-U"])
            // As the owner of the directory, and with room for everything that a test sends.
            .args(["-Z", "root", "-B", "32768", "-w"])
            .arg(&file)
            .args(arguments);
        let mut process = Process::start(namespace, command)?;
        process.wait_for_stderr("listening on")?;
        Ok(Self {
            process,
            file,
            _directory: directory,
        })
    }

    /// Waits until this many packets are in its file, stops it and returns all packets.
    pub fn stop_after(self, count: usize) -> Result<Vec<Packet>> {
        self.stop_when(|packets| packets.len() >= count)
            .with_context(|| format!("{count} packets"))
    }

    /// Waits until each of these frames is in its file, stops it and returns all packets.
    pub fn stop_after_frames(self, frames: &[&Vec<u8>]) -> Result<Vec<Packet>> {
        self.stop_when(|packets| {
            frames
                .iter()
                .all(|frame| packets.iter().rev().any(|packet| packet.bytes == **frame))
        })
    }

    fn stop_when(self, enough: impl Fn(&[Packet]) -> bool) -> Result<Vec<Packet>> {
        let mut seen = 0;
        wait::until_true("tcpdump's packets", || {
            // The file does not parse until the last packet is whole.
            let Ok(file) = capture_file::read(&self.file) else {
                return Ok(false);
            };
            seen = file.packets.len();
            Ok(enough(&file.packets))
        })
        .with_context(|| format!("tcpdump saw {seen} packets"))?;
        self.process.signal(Signal::INT)?;
        self.process.wait()?;
        Ok(capture_file::read(&self.file)?.packets)
    }
}
