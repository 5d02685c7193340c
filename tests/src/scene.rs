//! The common setup of most tests: record an interface while tcpdump does the same, and send traffic
//! through it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    capture_file::{self, Direction, Packet},
    compare, frame,
    generator::pin,
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    recorder::{Recorded, Recorder},
    tcpdump::Tcpdump,
};

/// EtherType "Local Experimental 1" of IEEE 802: no stack answers it.
const LAST: u16 = 0x88b5;

/// A pair of frames that ends a test's traffic: once a recorder has them it has everything before
/// them.
fn last_frame(direction: Direction) -> Vec<u8> {
    let text: &[u8] = match direction {
        Direction::In => b"the last frame that comes in, padded to sixty bytes.",
        Direction::Out => b"the last frame that goes out, padded to sixty bytes.",
    };
    frame::ethernet(LAST, text)
}

/// The recorded packets of one interface.
#[derive(Debug)]
pub struct Scene {
    /// Our capture.
    pub recorded: Recorded,
    /// Its packets.
    pub ours: Vec<Packet>,
    /// tcpdump's, both directions together.
    pub theirs: Vec<Packet>,
    /// tcpdump's `-Q in`.
    pub theirs_in: Vec<Packet>,
    /// tcpdump's `-Q out`.
    pub theirs_out: Vec<Packet>,
    _directory: TempDir,
}

/// Records an Ethernet interface with our recorder and with three tcpdumps while the traffic runs. The
/// traffic has ended when the function returns. `peer` is the interface's other end.
pub fn record_beside_tcpdump(
    namespace: &Namespace,
    peer: &Namespace,
    interface: &str,
    arguments: &[&str],
    traffic: impl FnOnce() -> Result<()>,
) -> Result<Scene> {
    let directory = TempDir::new()?;
    let mut all = vec!["-i", interface];
    all.extend(arguments);
    let both = Tcpdump::start(namespace, interface, &[])?;
    let into = Tcpdump::start(namespace, interface, &["-Q", "in"])?;
    let out = Tcpdump::start(namespace, interface, &["-Q", "out"])?;
    let recorder = Recorder::start(namespace, directory.path(), &all)?;
    traffic()?;
    let (last_in, last_out) = (last_frame(Direction::In), last_frame(Direction::Out));
    PacketSocket::sender(peer, interface)?.send(&last_in)?;
    PacketSocket::sender(namespace, interface)?.send(&last_out)?;
    let theirs_in = into.stop_after_frames(&[&last_in])?;
    let theirs_out = out.stop_after_frames(&[&last_out])?;
    let theirs = both.stop_after_frames(&[&last_in, &last_out])?;
    let recorded = recorder.stop()?;
    let ours = recorded.packets()?;
    Ok(Scene {
        recorded,
        ours,
        theirs,
        theirs_in,
        theirs_out,
        _directory: directory,
    })
}

impl Scene {
    /// Our packets of one direction; only pcapng files have directions.
    #[must_use]
    pub fn ours_of(&self, direction: Direction) -> Vec<Packet> {
        let ours = self.ours.iter();
        ours.filter(|packet| packet.direction == Some(direction))
            .cloned()
            .collect()
    }

    /// The same packets as tcpdump, separately for each direction; nothing lost; every file opens
    /// with capinfos, tshark and tcpdump.
    pub fn agrees_by_direction(&self) -> Result<()> {
        compare::same_packets(&self.ours_of(Direction::In), &self.theirs_in)
            .context("packets that came in")?;
        compare::same_packets(&self.ours_of(Direction::Out), &self.theirs_out)
            .context("packets that went out")?;
        self.recorded.lost_nothing(self.theirs.len() as u64)?;
        self.files_open()
    }

    /// The same packets as tcpdump in the same order, both directions together; nothing lost; every file
    /// opens with capinfos, tshark and tcpdump.
    pub fn agrees(&self) -> Result<()> {
        compare::same_packets(&self.ours, &self.theirs)?;
        self.recorded.lost_nothing(self.theirs.len() as u64)?;
        self.files_open()
    }

    fn files_open(&self) -> Result<()> {
        let mut packets = 0;
        for path in self.recorded.paths() {
            packets += capture_file::read_with_peers(&path)?;
        }
        ensure!(
            packets == self.ours.len(),
            "tshark read {packets} of {} packets",
            self.ours.len()
        );
        Ok(())
    }
}

/// Sends frames from `a` to `b` and waits until each has arrived there unchanged: the packets are
/// past every recorder when this returns.
pub fn send_through(pair: &Pair, frames: &[Vec<u8>]) -> Result<()> {
    let receiver = PacketSocket::open(&pair.b, "eth0")?.only_incoming()?;
    let sender = PacketSocket::sender(&pair.a, "eth0")?;
    // In portions that fit into the receive queue of one CPU (net.core.netdev_max_backlog, 1,000).
    for portion in frames.chunks(500) {
        sender.send_all(portion)?;
        let received = receiver.receive(portion.len())?;
        ensure!(received == portion, "the traffic itself was changed");
    }
    Ok(())
}

/// Numbered frames, each with a length different from the previous one.
#[must_use]
pub fn numbered_frames(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers
        .map(|number| frame::numbered(number, 60 + (number as usize * 7) % 1400))
        .collect()
}

/// Sends this many bytes over a TCP connection from `client` to `server`; both on one core, so that
/// every recorder sees the packets of a direction in the same order.
pub fn transfer(
    client: &Namespace,
    server: &Namespace,
    address: &str,
    length: usize,
) -> Result<()> {
    let listener = server.run(|| TcpListener::bind(address))?;
    thread::scope(|scope| {
        let received = scope.spawn(|| -> Result<usize> {
            pin(0)?;
            let (mut stream, _) = listener.accept()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            Ok(bytes.len())
        });
        client.run(|| -> Result<()> {
            pin(0)?;
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&vec![0x42; length])?;
            Ok(())
        })?;
        let received = match received.join() {
            Ok(received) => received?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        ensure!(received == length, "{received} of {length} bytes arrived");
        Ok(())
    })
}
