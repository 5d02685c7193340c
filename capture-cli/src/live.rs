//! Live packets of several nodes as one pcapng stream or as lines.

use std::{collections::BTreeMap, io::Write, net::IpAddr, os::fd::BorrowedFd};

use capture_args::console::{plain, plain_lines};
use capture_text::{Line, Way};
use capture_types::Direction;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use capture_client::model::{Packet, StreamInterface};
use capture_file::{AddressNames, Interface, Kind, PacketBuf, WriteError, Writer};

/// The output of live packets.
pub struct Live<W: Write> {
    output: Output<W>,
    /// By node and number in the node's stream.
    interfaces: BTreeMap<(usize, u32), Known>,
    nodes: Vec<String>,
    /// Packets shown so far.
    packets: u64,
}

enum Output<W: Write> {
    Pcapng(Box<Writer<W>>),
    Text(W),
}

struct Known {
    /// Its number in the output.
    number: u32,
    link_type: u32,
    name: String,
}

impl<W: Write> Live<W> {
    /// Output as pcapng; the header is written at once, so that Wireshark starts.
    ///
    /// # Errors
    /// Writing failed.
    pub fn pcapng(output: W, nodes: Vec<String>, comment: &str) -> Result<Self, WriteError> {
        let mut writer = Writer::new(output, Kind::PCAPNG, comment)?;
        writer.flush()?;
        Ok(Self::new(Output::Pcapng(Box::new(writer)), nodes))
    }

    /// Output as lines.
    pub fn text(output: W, nodes: Vec<String>) -> Self {
        Self::new(Output::Text(output), nodes)
    }

    const fn new(output: Output<W>, nodes: Vec<String>) -> Self {
        Self {
            output,
            interfaces: BTreeMap::new(),
            nodes,
            packets: 0,
        }
    }

    /// Packets shown so far.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Adds an interface of a node. With several nodes it is named `node:interface`.
    ///
    /// # Errors
    /// Writing failed.
    pub fn interface(&mut self, node: usize, described: StreamInterface) -> Result<(), WriteError> {
        let name = if self.nodes.len() > 1 {
            format!("{}:{}", self.nodes[node], described.name)
        } else {
            described.name
        };
        let name = plain(&name);
        if let Output::Pcapng(writer) = &mut self.output {
            let link_type = u16::try_from(described.link_type).map_err(|_| {
                WriteError::Format("a link type that does not fit in a capture file")
            })?;
            let mut interface = Interface::new(link_type, described.snaplen).named(&name);
            if let Some(address) = described.hardware_address {
                interface = interface.with_mac(address);
            }
            if !described.description.is_empty() {
                interface = interface.with_description(&plain(&described.description));
            }
            if !described.comment.is_empty() {
                interface = interface.with_comment(&plain_lines(&described.comment));
            }
            writer.interface(&interface)?;
        }
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        let known = Known {
            number,
            link_type: described.link_type,
            name,
        };
        self.interfaces.insert((node, described.id), known);
        Ok(())
    }

    /// A node sent names of addresses, which a pcapng stream has in a block of its own.
    ///
    /// # Errors
    /// Writing failed.
    pub fn names(&mut self, names: Vec<(IpAddr, String)>) -> Result<(), WriteError> {
        let Output::Pcapng(writer) = &mut self.output else {
            return Ok(());
        };
        let names: Vec<_> = names
            .into_iter()
            .map(|(address, name)| AddressNames {
                address,
                names: vec![plain(&name)],
            })
            .collect();
        writer.names(&names)
    }

    /// Writes a packet of a node. Packets of unknown interfaces are skipped.
    ///
    /// # Errors
    /// Writing failed.
    pub fn packet(&mut self, node: usize, packet: &Packet) -> Result<(), WriteError> {
        let Some(interface) = self.interfaces.get(&(node, packet.interface)) else {
            return Ok(());
        };
        match &mut self.output {
            Output::Text(output) => {
                let line = Line {
                    timestamp: packet.timestamp,
                    capture: None,
                    interface: &interface.name,
                    way: match packet.direction {
                        Some(Direction::In) => Some(Way::In),
                        Some(Direction::Out) => Some(Way::Out),
                        None => None,
                    },
                    link_type: interface.link_type,
                    original_length: packet.original_length,
                    bytes: &packet.data,
                };
                writeln!(output, "{line}")?;
            }
            Output::Pcapng(writer) => {
                writer.packet(&PacketBuf {
                    timestamp: packet.timestamp,
                    interface: interface.number,
                    original_length: packet.original_length,
                    data: packet.data.to_vec(),
                    flags: packet.direction.map(PacketBuf::flags_of),
                    ..PacketBuf::default()
                })?;
            }
        }
        self.packets += 1;
        Ok(())
    }

    /// Flushes all buffers.
    ///
    /// # Errors
    /// Writing failed.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        match &mut self.output {
            Output::Text(output) => output.flush()?,
            Output::Pcapng(writer) => writer.flush()?,
        }
        Ok(())
    }
}

/// Whether a pipe has no reader any more.
#[must_use]
pub fn is_closed(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut polled, Some(&at_once)) {
        Ok(_) => polled[0].revents().contains(PollFlags::ERR),
        Err(Errno::INTR) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::AsFd as _,
        time::{Duration, Instant},
    };

    use super::*;
    use capture_file::{CaptureReader, Item};

    fn packet(interface: u32, direction: Direction) -> Packet {
        Packet {
            timestamp: 7,
            interface,
            direction: Some(direction),
            original_length: 100,
            data: vec![1, 2, 3].into(),
        }
    }

    fn interface(id: u32, name: &str) -> StreamInterface {
        StreamInterface {
            id,
            name: name.to_owned(),
            link_type: 1,
            snaplen: 0,
            hardware_address: None,
            description: format!("pod shop/{name}"),
            comment: "pod=web\nnode=a".to_owned(),
        }
    }

    #[test]
    fn interfaces_of_several_nodes_are_told_apart() {
        let nodes = vec!["a".to_owned(), "b".to_owned()];
        let mut bytes = Vec::new();
        let mut live = Live::pcapng(&mut bytes, nodes, "x").unwrap();
        live.interface(0, interface(5, "eth0")).unwrap();
        live.interface(1, interface(5, "eth0")).unwrap();
        let web = IpAddr::from([10, 244, 0, 7]);
        live.names(vec![(web, "web.shop".to_owned())]).unwrap();
        live.packet(1, &packet(5, Direction::Out)).unwrap();
        live.packet(0, &packet(5, Direction::In)).unwrap();
        live.packet(0, &packet(6, Direction::In)).unwrap();
        live.flush().unwrap();
        assert_eq!(live.packets(), 2, "interface 6 was never described");
        drop(live);
        let mut reader = CaptureReader::new(&bytes[..]).unwrap();
        let mut names = Vec::new();
        let (mut directions, mut hosts) = (Vec::new(), Vec::new());
        while let Some(item) = reader.next_item().unwrap() {
            match item {
                Item::Interface(interface) => {
                    assert_eq!(interface.description().as_deref(), Some("pod shop/eth0"));
                    assert_eq!(interface.comment().as_deref(), Some("pod=web\nnode=a"));
                    names.extend(interface.name());
                }
                Item::Names(names) => hosts.extend(names),
                Item::Packet(packet) => directions.push((packet.interface, packet.direction())),
                _ => {}
            }
        }
        assert_eq!(names, ["a:eth0", "b:eth0"]);
        let names = vec!["web.shop".to_owned()];
        assert_eq!(
            hosts,
            [AddressNames {
                address: web,
                names
            }]
        );
        let expected = [(1, Some(Direction::Out)), (0, Some(Direction::In))];
        assert_eq!(directions, expected);
    }

    #[test]
    fn a_reader_that_has_gone_is_noticed_without_writing() {
        let (reader, writer) = std::io::pipe().unwrap();
        assert!(!is_closed(writer.as_fd()));
        drop(reader);
        // A program that another test starts holds a copy of the reader until its exec.
        let end = Instant::now() + Duration::from_secs(10);
        while !is_closed(writer.as_fd()) {
            assert!(Instant::now() < end, "the reader is gone");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
